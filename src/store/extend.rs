//! Keeping the leases of running jobs.

use super::fence::{is_leased, named_runs, owned, values_of};
use crate::connect::{Schema, Statement, Value};
use crate::job::Run;

/// Moves leases to `lease_ms` from now. Answers the runs that still own their job, and
/// whether that is to be cancelled. Waits for
/// no lock: a job that a transaction has locked can be neither extended nor taken over. Its conditions
/// are written as those of [`super::settle`] are.
///
/// `locked_at` is never later than now: where the server's clock has gone back, as in a fail-over, a lease would
/// else be earlier than its claim, and taken for none.
pub fn leases(schema: &Schema, runs: &[Run], lease_ms: i64) -> Statement {
    let mut values = values_of(runs);
    values.push(("lease_ms", Value::BigInt(lease_ms)));
    schema.statement(
        concat!(
            "with owned as (
            select job.*, free.id as free from ",
            named_runs!(),
            "
            cross join lateral (
                select job.id, job.run_no, job.cancel_requested_at from {jobs} job
                where job.id = any (array[run.id]) and ",
            owned!("job", "run"),
            "
            ) job
            left join lateral (
                select job.id from {jobs} job
                where job.id = any (array[run.id]) and ",
            owned!("job", "run"),
            "
                for no key update skip locked
            ) free on true
        ),
        extended as (
            update {jobs} job
            set lease_expires_at = now() + {lease_ms}::double precision * interval '1 millisecond',
                locked_at = least(job.locked_at, now())
            from owned
            where job.id = any (array[owned.free])
            returning job.id
        )
        select id::bigint, run_no, free is null as locked,
            free is not null and id not in (select id from extended) as passed_over,
            cancel_requested_at is not null as cancel_requested
        from owned"
        ),
        values,
    )
}
