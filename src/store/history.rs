//! SQL that appends to `error_history`, and that puts back a job which lost its worker.

/// Appends the jsonb object `$entry`, stamped with the database's time, to the history of the row
/// `$row`; the last hundred entries are kept. A history that is not an array, which only an update by
/// hand can have written, is begun anew.
macro_rules! append {
    ($row:literal, $entry:expr) => {
        concat!(
            "(case when pg_catalog.jsonb_typeof(",
            $row,
            ".error_history) = 'array' then pg_catalog.jsonb_path_query_array(",
            $row,
            ".error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end \
            || pg_catalog.jsonb_build_array((",
            $entry,
            ") || pg_catalog.jsonb_build_object('timestamp', \
            pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))))"
        )
    };
}

/// Whether the attempt that the row `$row` is in has been counted: see [`super::claim`].
macro_rules! is_counted {
    ($row:literal) => {
        concat!("coalesce(", $row, ".claim_token, 1::bigint) > 0::bigint")
    };
}

/// The entry that says that the worker of the row `$row` was lost.
macro_rules! worker_lost {
    ($row:literal) => {
        concat!(
            "pg_catalog.jsonb_build_object('name', 'WorkerLost', 'attempt', ",
            attempt!($row),
            ", 'message', 'Worker lost: ' || coalesce(",
            $row,
            ".locked_by::text, 'unknown') || case when ",
            is_counted!($row),
            " then ' did not finish attempt ' else ' did not begin attempt ' end || (",
            attempt!($row),
            ")::text || ' of ' || ",
            $row,
            ".max_attempts::text)"
        )
    };
}

macro_rules! attempt {
    ($row:literal) => {
        concat!(
            "(",
            $row,
            ".attempts + case when ",
            is_counted!($row),
            " then 0 else 1 end)"
        )
    };
}

/// Whether the row `$row`, whose worker was lost, is claimed once more: attempts are left, or the claim finds out that
/// none is, and its worker adds the dead letter with the failure.
macro_rules! comes_back {
    ($row:literal) => {
        concat!(
            "(",
            $row,
            ".attempts < ",
            $row,
            ".max_attempts or ",
            $row,
            ".dead_letter_job_type is not null)"
        )
    };
}

/// Sets the columns of the row `$row`, whose worker was lost: it is pending, from `$due` on if that is not
/// null, or it has ended, because no attempts are left or it is to be cancelled. Its old run can
/// write nothing more. It does not take a key again that it held until it was claimed. `$pending` is its status in place
/// of `pending`.
macro_rules! put_back {
    ($row:literal, $due:expr, $pending:literal) => {
        concat!(
            "status = case
                    when ",
            $row,
            ".cancel_requested_at is not null then 'cancelled'
                    when ",
            comes_back!($row),
            " then '",
            $pending,
            "'
                    else 'failed' end,
                updated_at = now(),
                failure_reason = 'worker_lost',
                idempotency_hold = case when ",
            $row,
            ".idempotency_hold = 'queued' then 'released' else ",
            $row,
            ".idempotency_hold end,
                run_no = ",
            $row,
            ".run_no + 1::bigint,
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                next_attempt_at = case
                    when ",
            $row,
            ".cancel_requested_at is null and (",
            comes_back!($row),
            ") then ",
            $due,
            " end,
                error_history = ",
            append!($row, worker_lost!($row))
        )
    };
}

pub(super) use {append, attempt, comes_back, is_counted, put_back, worker_lost};
