//! When a job runs again that has failed, or that its handler has put off.
//!
//! A run says that in JSON. It may name a time, in milliseconds:
//!
//! - `{ "after": 5000 }`: from now,
//! - `{ "at": 1795305600000 }`: since the Unix epoch,
//! - `{ "never": true }`: the job has failed for good.
//!
//! Or a run that failed says nothing, or gives a policy, of whose fields any may be absent:
//! `{ "delay", "factor", "maxDelay", "jitter" }`. The job's own columns go before it, field by field. If neither sets a field, the original's `2^attempts` minutes hold.

/// A field of a policy.
struct Field {
    name: &'static str,
    /// The column of the job that goes before it.
    column: &'static str,
    /// Its value if another field is set, and this one is not.
    default: f64,
    /// Any writer may have set the column to any value.
    range: (f64, f64),
}

/// The longest time in milliseconds, as everywhere.
const LONGEST: f64 = 2_147_483_647.0;

/// In milliseconds.
const DELAY: Field = Field {
    name: "delay",
    column: "job.retry_delay_ms",
    default: 1_000.0,
    range: (0.0, LONGEST),
};
const FACTOR: Field = Field {
    name: "factor",
    column: "job.retry_factor",
    default: 2.0,
    range: (1.0, 1_000.0),
};
/// In milliseconds.
const MAX_DELAY: Field = Field {
    name: "maxDelay",
    column: "job.retry_max_delay_ms",
    default: 3_600_000.0,
    range: (0.0, LONGEST),
};
const JITTER: Field = Field {
    name: "jitter",
    column: "null",
    default: 0.25,
    range: (0.0, 1.0),
};

/// The number that the run says under this name.
fn said(name: &str) -> String {
    format!("(ended.retry::jsonb ->> '{name}'::text)::double precision")
}

impl Field {
    fn expression(&self) -> String {
        let Self {
            name,
            column,
            default,
            range: (least, most),
        } = self;
        let said = said(name);
        format!(
            "greatest(least(coalesce({column}::double precision, {said}, {default}::double precision), \
            {most}::double precision), {least}::double precision)"
        )
    }
}

/// The time that `ended.retry` names, or now if that is later.
fn named_time() -> String {
    let (at, after) = (said("at"), said("after"));
    format!(
        "greatest(
                                coalesce(
                                    timestamptz 'epoch' + {at} * interval '1 millisecond',
                                    now() + {after} * interval '1 millisecond'
                                ),
                                now()
                            )"
    )
}

/// Until when the job in the row `job` is put off: `ended.retry`, and a second at the least.
pub fn snoozed_until() -> String {
    let named = named_time();
    format!("greatest({named}, now() + interval '1 second')")
}

/// When the job in the row `job`, whose attempt has failed and is counted, is tried again; null if never. What its run
/// says is `ended.retry`.
///
/// The delay is `min(maxDelay, delay * factor^(attempts - 1))` times a random number between `1 - jitter` and 1. The
/// power is taken by its logarithm, which is bounded, so that no number of attempts makes it overflow. The exponent of
/// the original's `2^attempts` minutes stops at 30, some two thousand years.
pub fn next_attempt() -> String {
    let (at, after, named) = (said("at"), said("after"), named_time());
    let (delay, factor) = (DELAY.expression(), FACTOR.expression());
    let (max_delay, jitter) = (MAX_DELAY.expression(), JITTER.expression());
    let columns = [DELAY, FACTOR, MAX_DELAY].map(|field| format!("{}::text", field.column));
    let columns = columns.join(", ");
    format!(
        "case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce({at}, {after}) is not null then {named}
                            when coalesce(ended.retry, {columns}) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                {max_delay},
                                {delay} * pg_catalog.exp(least(
                                    pg_catalog.ln({factor}) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - {jitter} * pg_catalog.random()) * interval '1 millisecond'
                            end"
    )
}
