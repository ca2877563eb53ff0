//! Storing with a job that Postgres refuses to let it go on.

use super::aside::pause;
use super::fence::{has_lapsed, is_leased};
use crate::connect::{Schema, Statement, Value};
use crate::error::Error;
use crate::job::Run;

/// Notes a refusal, for `{reason}`, with the job `{id}`, if it meets `$condition` and is free;
/// also makes the `$assignments`. Answers the number of refusals in a row. Any writer may have set
/// `refusals` to any value.
macro_rules! note {
    ($condition:expr, $assignments:literal) => {
        concat!(
            "with free as (
                select job.id from {jobs} job
                where job.id = {id}::bigint and (",
            $condition,
            ") is true
                for no key update skip locked
            )
            update {jobs} job
            set ",
            $assignments,
            "refusals = greatest(least(coalesce(job.refusals, 0), 1000), 0) + 1,
                pending_reason = {reason}::text,
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
                    {longest}::double precision
                ) * interval '1 second',
                "
        ),
        vec![
            ("id", Value::BigInt(id)),
            ("reason", error.refuses_to_let_be("claimed").into()),
            ("longest", Value::BigInt(longest)),
        ],
    )
}

/// Stores with the job of an ended run that the outcome was refused, and moves its lease to `lease_ms` from now:
/// during the refused statement the row was locked, so that its lease could not be extended.
pub fn settle(schema: &Schema, run: Run, error: &Error, lease_ms: i64) -> Statement {
    schema.statement(
        note!(
            concat!(
                "job.run_no = {run_no}::bigint and job.status::text = 'processing' and ",
                is_leased!("job")
            ),
            "lease_expires_at = now() + {lease_ms}::double precision * interval '1 millisecond',
                locked_at = least(job.locked_at, now()),
                "
        ),
        vec![
            ("id", Value::BigInt(run.id)),
            ("reason", error.refuses_to_let_be("settled").into()),
            ("run_no", Value::BigInt(run.run_no)),
            ("lease_ms", Value::BigInt(lease_ms)),
        ],
    )
}

/// Leaves a job whose worker is lost, and which cannot be brought back, alone for this many seconds.
pub fn recover(schema: &Schema, id: i64, error: &Error, seconds: i64) -> Statement {
    schema.statement(
        note!(
            concat!("job.status::text = 'processing' and ", has_lapsed!("job")),
            "lease_expires_at = now() + {seconds}::double precision * interval '1 second',
                locked_at = least(job.locked_at, now()),
                "
        ),
        vec![
            ("id", Value::BigInt(id)),
            ("reason", error.refuses_to_let_be("brought back").into()),
            ("seconds", Value::BigInt(seconds)),
        ],
    )
}
