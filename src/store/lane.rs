//! The lanes of the claim: the priorities that have claimable jobs, from the highest down.
//!
//! A scan of the index of the claim from its start would walk every job that waits for the future in
//! front of the first that is due at a lower priority. So statements step from priority to priority,
//! and read in each lane only what they look for. A common table expression is evaluated no further
//! than it is read, a fact of Postgres that its manual states under "WITH Queries": a statement that has
//! enough jobs stops stepping.
//!
//! Entries before a position in `passed`, a priority with the `ready_at` and `id` of a job, are not
//! looked at: see [`super::cursor`]. Most statements start at the beginning, without `passed`.

/// Steps downwards from below `$below`, a bigint, each time to the highest priority below `lane.priority`, which
/// `$next` finds as `priority`, `$most` times at the most. `began_at` is when the first step was taken, in
/// microseconds since the Unix epoch.
macro_rules! lanes {
    ($next:expr, $below:expr, $most:expr) => {
        concat!(
            "lane (priority, began_at, step) as (
                select ",
            $below,
            "::bigint, ",
            microseconds!("clock_timestamp()"),
            ", 0
                union all
                select ",
            $next,
            ", lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < ",
            $most,
            "
            )"
        )
    };
}

/// The same from the positions in `passed` on, which are in `ready_at` and `id`. `$next` finds only priorities
/// above `known.priority`, the next of those in `passed`.
macro_rules! lanes_behind {
    ($next:expr, $below:expr, $most:expr) => {
        concat!(
            "lane (priority, began_at, step, ready_at, id) as (
                select ",
            $below,
            "::bigint, ",
            microseconds!("clock_timestamp()"),
            ", 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce(",
            $next,
            ", nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < ",
            $most,
            "
            )"
        )
    };
}

/// Above every integer: the highest lane is below it.
pub const TOP: i64 = 2_147_483_648;

/// `$moment`, a timestamptz, in microseconds since the Unix epoch.
macro_rules! microseconds {
    ($moment:expr) => {
        concat!(
            "(pg_catalog.date_part('epoch', ",
            $moment,
            ") * 1000000::double precision)::bigint"
        )
    };
}

/// The next lane of the jobs that meet the condition of an index, `$and` more.
macro_rules! next_lane {
    ($condition:expr, $and:literal) => {
        concat!(
            "(
                select job.priority from {jobs} job
                where ",
            $condition,
            " and job.priority < lane.priority",
            $and,
            "
                order by job.priority desc limit 1
            )"
        )
    };
}

pub(super) use {lanes, lanes_behind, microseconds, next_lane};
