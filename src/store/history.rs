//! SQL that appends to `error_history`.

/// Appends the jsonb object `$entry`, stamped with the database's time, to the history of the row
/// `$row`; the last hundred entries are kept. A history that is not an array, as only a hand can have
/// written it, is begun anew.
macro_rules! append {
    ($row:literal, $entry:expr) => {
        concat!(
            "(case when jsonb_typeof(",
            $row,
            ".error_history) = 'array' then jsonb_path_query_array(",
            $row,
            ".error_history, '$[last - 98 to last]') else '[]'::jsonb end \
            || jsonb_build_array((",
            $entry,
            ") || jsonb_build_object('timestamp', \
            to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))))"
        )
    };
}

/// The entry that says that the worker of the row `$row` was lost.
macro_rules! worker_lost {
    ($row:literal) => {
        concat!(
            "jsonb_build_object('name', 'WorkerLost', 'attempt', ",
            $row,
            ".attempts, 'message', 'Worker lost: ' || coalesce(",
            $row,
            ".locked_by, 'unknown') || ' did not finish attempt ' || ",
            $row,
            ".attempts || ' of ' || ",
            $row,
            ".max_attempts)"
        )
    };
}

pub(super) use {append, worker_lost};
