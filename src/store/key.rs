//! Jobs with idempotency keys: the rule of which jobs hold theirs, and the insert that leaves held keys to
//! `job_queue_add` (`migrations/`).
//!
//! A key belongs to the job whose row is in the unique index `job_queue_keys`. Its condition says how long: so whatever
//! changes the row, by hand too, releases the key, or is refused since another job holds it. A key that is held for some
//! time is not in the index, but in the table `job_queue_windows`.

/// Whether the row `$row`, which is a name and a dot, or nothing, holds its key: the condition of `job_queue_keys`.
macro_rules! holds_key {
    ($row:literal) => {
        concat!(
            $row,
            "idempotency_key is not null and case coalesce(",
            $row,
            "idempotency_hold, 'unsettled')
                when 'unsettled' then ",
            $row,
            "status::text = 'pending' or ",
            $row,
            "status::text = 'processing'
                  or ",
            $row,
            "status::text = 'failed' and ",
            $row,
            "attempts < ",
            $row,
            "max_attempts and ",
            $row,
            "next_attempt_at is not null
                when 'queued' then ",
            $row,
            "status::text = 'pending' and ",
            $row,
            "attempts = 0 and ",
            $row,
            "snoozes is null
                when 'row' then true
                else false end"
        )
    };
}

/// Whether no other job holds the key of the row `$row`, as far as the statement sees.
///
/// A subquery that answers one row is looked up for each row. For an `exists`, the planner may prefer a hash of all rows
/// of the table, where its statistics are wrong.
macro_rules! is_free {
    ($row:literal) => {
        concat!(
            "(
                    select true from {jobs} holder
                    where holder.job_type::text = ",
            $row,
            ".job_type and holder.idempotency_key::text = ",
            $row,
            ".idempotency_key
                        and ",
            holds_key!("holder."),
            "
                    limit 1
                ) is not true
                and (
                    select true from {windows} held
                    where held.job_type::text = ",
            $row,
            ".job_type and held.idempotency_key::text = ",
            $row,
            ".idempotency_key
                        and held.held_until > now()
                    limit 1
                ) is not true"
        )
    };
}

/// Leaves the job in `$row` to the function that looks again after each wait: a statement does not see what was committed
/// while it ran. `$id` is the id that the statement has drawn for it.
macro_rules! decide {
    ($row:literal, $id:literal) => {
        concat!(
            "{job_queue_add}(
                    {all_but_payload} || pg_catalog.jsonb_build_object('id', ",
            $id,
            "), ",
            $row,
            ".payload, coalesce(",
            $row,
            ".on_conflict, 'keep'), ",
            $row,
            ".max_wait_ms
                )"
        )
    };
}

/// Limits each wait for another transaction to `{lock_timeout}` milliseconds; null leaves the limit as it is.
macro_rules! limited {
    () => {
        "select pg_catalog.set_config('lock_timeout', coalesce(
                {lock_timeout}::text, pg_catalog.current_setting('lock_timeout')
            ), true)"
    };
}

/// Adds the one job of `$job`, which has a key and does not hold it in a window. Answers as [`keyed_jobs!`] does. No id is
/// drawn for a key that is held, so that duplicates do not use the ids up.
macro_rules! keyed_job {
    ($job:literal) => {
        concat!(
            "with given (on_conflict, max_wait_ms, {all_given}) as materialized (
            select job.on_conflict, job.max_wait_ms, {all_expressions}
            from ",
            $job,
            " as job ({all_given}, on_conflict, max_wait_ms)
            cross join (",
            limited!(),
            ") limited
        ),
        added as (
            insert into {jobs} ({all_given})
            select {all_given} from given
            where ",
            is_free!("given"),
            "
            on conflict (job_type, idempotency_key) where ",
            holds_key!(""),
            " do nothing
            returning id
        )
        select '[' || coalesce(
            (select '[' || added.id::text || ',\"added\",\"pending\",null]' from added),
            ",
            decide!("given", "null"),
            "::text
        ) || ']' as result
        from given"
        )
    };
}

/// Adds the `$jobs`, some of which have keys. Those whose keys are free are inserted by one statement, as jobs without
/// keys are.
///
/// Two statements that add the same keys must not wait for each other: so each inserts in the order of the keys, which is
/// `rank`. The ids are drawn before that, in the order of the jobs, which is the order in which jobs of the same time run.
/// Where the ids come from another sequence, the function inserts all. `repeats` is whether a job before it has the same key.
///
/// `$windows` is [`windows!`] where jobs may hold their keys for some time, else nothing, and `$is_added` the condition that
/// it gives.
///
/// Answers `[[id, outcome, status, id of the superseded job that runs], ...]`, in the order of the jobs.
macro_rules! keyed_jobs {
    ($jobs:literal, $windows:expr, $is_added:literal) => {
        concat!(
            "with sequence as materialized (
            select pg_catalog.pg_get_serial_sequence(name, 'id')::regclass as name
            from (select pg_catalog.format('%I.job_queue', {schema}) as name) named
            cross join (",
            limited!(),
            ") limited
        ),
        given (on_conflict, max_wait_ms, rank, repeats, place, {all_given}) as materialized (
            select job.on_conflict, job.max_wait_ms, job.rank, job.repeats, job.place, {all_expressions}
            from ",
            $jobs,
            " as job ({all_given}, on_conflict, max_wait_ms, rank, repeats, place)
        ),
        drawn as materialized (
            select given.*, case
                when given.idempotency_key is null or given.repeats = 0::bigint and ",
            is_free!("given"),
            "
                then pg_catalog.nextval(sequence.name) end as id
            from sequence cross join given
        ),
        ",
            $windows,
            "added as (
            insert into {jobs} (id, {all_given})
            select id, {all_given} from drawn
            where id is not null",
            $is_added,
            "
            order by rank
            on conflict (job_type, idempotency_key) where ",
            holds_key!(""),
            " do nothing
            returning id
        ),
        met as materialized (
            -- Looked up in a hash, which the sessions of workers do not have for a join.
            select drawn.*, drawn.id is not null and drawn.id in (select added.id::bigint from added) as is_added
            from drawn
            order by rank
        ),
        decided as materialized (
            select place, case when is_added then '[' || id::text || ',\"added\",\"pending\",null]'
                -- The count has all rows inserted before.
                when (select pg_catalog.count(*) from added) >= 0::bigint then ",
            decide!("met", "id"),
            "::text end as decision
            from met
        )
        select '[' || coalesce(pg_catalog.string_agg(decision, ',' order by place), '') || ']' as result
        from decided"
        )
    };
}

/// Takes the keys that are held for some time, and deletes some of the windows that have ended: more than come, so that few
/// are left.
macro_rules! windows {
    () => {
        "windowed as (
            insert into {windows} as held (job_type, idempotency_key, job_id, held_until)
            select job_type, idempotency_key, id,
                now() + idempotency_hold::double precision * interval '1 millisecond'
            from drawn
            where id is not null and idempotency_hold ~ '^[0-9]'
            order by rank
            on conflict (job_type, idempotency_key) do update
            set job_id = excluded.job_id, held_until = excluded.held_until
            where held.held_until <= now()
            returning job_id
        ),
        past as (
            delete from {windows} past
            where past.ctid = any (array(
                select ended.ctid from {windows} ended
                where ended.held_until > '-infinity' and ended.held_until <= now()
                    and (ended.job_type::text, ended.idempotency_key::text) not in (
                        select job_type, idempotency_key from drawn where idempotency_key is not null
                    )
                order by ended.held_until
                limit 4::bigint + 2::bigint * (select pg_catalog.count(*) from drawn)
                for update skip locked
            ))
        ),
        "
    };
}

/// A job that holds the key of the row `$row`, as `rival`, if there is another.
macro_rules! rivals {
    ($row:literal) => {
        concat!(
            "{jobs} rival
            where rival.job_type::text = ",
            $row,
            ".job_type::text and rival.idempotency_key::text = ",
            $row,
            ".idempotency_key::text
                and rival.id <> ",
            $row,
            ".id and ",
            holds_key!("rival.")
        )
    };
}

/// The hold of the row `$row`, which is put back before its handler began: it comes back without its key if another job
/// has taken it meanwhile.
macro_rules! hold_of_put_back {
    ($row:literal) => {
        concat!(
            "case when ",
            $row,
            ".idempotency_hold = 'queued' and (
                select true from ",
            rivals!($row),
            "
                limit 1
            ) then 'released' else ",
            $row,
            ".idempotency_hold end"
        )
    };
}

pub(super) use {
    decide, hold_of_put_back, holds_key, is_free, keyed_job, keyed_jobs, limited, rivals, windows,
};

#[cfg(test)]
mod tests {
    /// The migrations say the rule in SQL, where they cannot ask for it.
    #[test]
    fn the_rule_is_the_same_in_the_migrations() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let index = words(include_str!("../../migrations/1795305600000_leases.sql"));
        let function = words(include_str!("../../migrations/1795392000000_add_job.sql"));
        assert_eq!(index.matches(&words(holds_key!(""))).count(), 1);
        assert_eq!(function.matches(&words(holds_key!(""))).count(), 1);
        assert_eq!(function.matches(&words(holds_key!("job."))).count(), 2);
    }
}
