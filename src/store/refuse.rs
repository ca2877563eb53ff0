//! Keeping with a job that Postgres refuses to let it go on.

use super::aside::pause;
use crate::connect::{Schema, Statement, Value};
use crate::error::Error;
use crate::processor::Run;

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
pub fn claim(schema: &Schema, id: i64, error: &Error) -> Statement {
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
            error.refuses_to_let_be("claimed").into(),
            Value::BigInt(longest),
        ],
    )
}

/// Keeps with a job that a run has ended that its outcome was refused, and moves its lease to `lease_ms` from now:
/// while that was found out the row was locked, so that nobody could extend it.
pub fn settle(schema: &Schema, run: Run, error: &Error, lease_ms: i64) -> Statement {
    schema.statement(
        note!(
            "job.run_no = $3::bigint and job.status::text = 'processing'
                    and job.lease_expires_at > job.locked_at",
            "lease_expires_at = now() + $4::double precision * interval '1 millisecond',
                locked_at = least(job.locked_at, now()),
                "
        ),
        vec![
            Value::BigInt(run.id),
            error.refuses_to_let_be("settled").into(),
            Value::BigInt(run.run_no),
            Value::BigInt(lease_ms),
        ],
    )
}

/// Lets a job whose worker is lost, and which cannot be brought back, rest for so many seconds.
pub fn recover(schema: &Schema, id: i64, error: &Error, seconds: i64) -> Statement {
    schema.statement(
        note!(
            "job.status::text = 'processing' and job.lease_expires_at <= now()",
            "lease_expires_at = now() + $3::double precision * interval '1 second',
                locked_at = least(job.locked_at, now()),
                "
        ),
        vec![
            Value::BigInt(id),
            error.refuses_to_let_be("brought back").into(),
            Value::BigInt(seconds),
        ],
    )
}
