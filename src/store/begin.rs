//! Counting the last attempt of a job, when its handler is about to begin.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::answers::read_run;
use super::fence::{is_leased, named_runs, owned, values_of};
use crate::connect::{Schema, Statement, Value, passed_over};
use crate::job::{Refusal, Run};
use crate::processor::Counted;

/// Counts the attempts of these runs, if that has not been done, and moves their leases to `lease_ms` from now, so
/// that there is time to begin. Answers the runs that are counted, and those that Postgres has passed over though they
/// were free; a run that no longer owns its job, or whose job some transaction has locked, is missing.
pub fn runs(schema: &Schema, runs: &[Run], lease_ms: i64) -> Statement {
    let mut values = values_of(runs);
    values.push(("lease_ms", Value::BigInt(lease_ms)));
    schema.statement(
        concat!(
            "with free as (
                select job.id, job.run_no from ",
            named_runs!(),
            "
                cross join lateral (
                    select job.id, job.run_no from {jobs} job
                    where job.id = any (array[run.id]) and ",
            owned!("job", "run"),
            "
                    for no key update skip locked
                ) job
            ),
            begun as (
                update {jobs} job
                set attempts = case when job.claim_token < 0::bigint then job.attempts + 1 else job.attempts end,
                    claim_token = case
                        when job.claim_token < 0::bigint then - job.claim_token else job.claim_token end,
                    lease_expires_at = now() + {lease_ms}::double precision * interval '1 millisecond',
                    locked_at = least(job.locked_at, now()),
                    updated_at = now()
                from free
                where job.id = any (array[free.id])
                returning job.id
            )
            select id::bigint, run_no, id not in (select id from begun) as passed_over from free"
        ),
        values,
    )
}

/// Reads the answer to [`runs`].
pub fn read(rows: &[PgRow]) -> Result<Counted, sqlx::Error> {
    let mut counted = Counted::default();
    for row in rows {
        let run = read_run(row)?;
        if row.try_get("passed_over")? {
            let error = passed_over();
            counted.refused.push(Refusal { id: run.id, error });
        } else {
            counted.runs.push(run);
        }
    }
    Ok(counted)
}

/// The runs that claims with these tokens have begun and that have not ended. The answer to such a claim was lost.
pub fn claimed_by(schema: &Schema, tokens: &[i64]) -> Statement {
    schema.statement(
        "select job.id::bigint, job.run_no from {jobs} job
        where job.status::text = 'processing' and job.lease_expires_at > '-infinity'
            and job.claim_token = any ({tokens}::bigint[])",
        // Negative while the attempt is not counted.
        vec![(
            "tokens",
            Value::BigInts(tokens.iter().flat_map(|token| [*token, -token]).collect()),
        )],
    )
}
