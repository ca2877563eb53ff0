//! Keeping with a job that Postgres refuses to let it go on.

use super::aside::pause;
use crate::connect::{Schema, Statement, Value};

/// What was refused, in the words of `pending_reason`.
fn reason(what: &str, sql_state: &str) -> Value {
    format!("Postgres refuses to let the job be {what} (SQLSTATE {sql_state})").into()
}

/// Notes a refusal, for the reason in `$2`, with the job of the id in `$1`, if it meets `$condition` and is free;
/// sets besides what `$assignments` say. Answers how many refusals in a row those are. Any writer may have set
/// `refusals` to anything.
macro_rules! note {
    ($condition:literal, $assignments:expr) => {
        concat!(
            "with free as (
                select job.id from {jobs} job
                where job.id = $1::bigint and (",
            $condition,
            ") is true
                for no key update skip locked
            )
            update {jobs} job
            set ",
            $assignments,
            "refusals = greatest(least(coalesce(job.refusals, 0), 1000), 0) + 1,
                pending_reason = $2::text,
                updated_at = now()
            from free
            where job.id = any (array[free.id])
            returning job.refusals"
        )
    };
}

/// Puts a job that is due aside for a while, which doubles with each refusal, as in [`pause`]. Answers nothing
/// where the job is no longer due, or is locked.
pub fn claim(schema: &Schema, id: i64, sql_state: &str) -> Statement {
    let longest = pause(u32::MAX).as_secs().try_into().unwrap_or(i64::MAX);
    schema.statement(
        note!(
            "job.ready_at <= now()",
            "next_attempt_at = now() + least(
                    pg_catalog.power(
                        2::double precision,
                        greatest(least(coalesce(job.refusals, 0), 16), 0)::double precision
                    ),
                    $3::double precision
                ) * interval '1 second',
                "
        ),
        vec![
            Value::BigInt(id),
            reason("claimed", sql_state),
            Value::BigInt(longest),
        ],
    )
}

/// Keeps with a job that runs, or that ran, that its outcome was refused.
pub fn settle(schema: &Schema, id: i64, run_no: i64, sql_state: &str) -> Statement {
    schema.statement(
        note!("job.run_no = $3::bigint", ""),
        vec![
            Value::BigInt(id),
            reason("settled", sql_state),
            Value::BigInt(run_no),
        ],
    )
}

/// Lets a job whose worker is lost, and which cannot be brought back, rest for so many seconds.
pub fn recover(schema: &Schema, id: i64, sql_state: &str, seconds: i64) -> Statement {
    schema.statement(
        note!(
            "job.status::text = 'processing' and job.lease_expires_at <= now()",
            "lease_expires_at = now() + $3::double precision * interval '1 second',
                locked_at = least(job.locked_at, now()),
                "
        ),
        vec![
            Value::BigInt(id),
            reason("brought back", sql_state),
            Value::BigInt(seconds),
        ],
    )
}
