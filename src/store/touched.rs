//! Which rows other transactions have changed or locked, told without trying their locks.

/// The transaction that `xmax` of `$row` names, in the 64 bits of the snapshot. `xmax` has but 32, so that of
/// the numbers which end in them, the nearest to the snapshot is meant.
macro_rules! last_transaction {
    ($row:literal) => {
        concat!(
            "(select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((",
            $row,
            ".xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) \
            + 2147483648) & 4294967295)"
        )
    };
}

/// Whether the transaction that changed or locked the row `$row` last had ended when the statement began.
macro_rules! is_over {
    ($row:literal) => {
        concat!(
            "pg_catalog.txid_visible_in_snapshot(",
            last_transaction!($row),
            ", (select pg_catalog.txid_current_snapshot()))"
        )
    };
}

/// No transaction that had not ended when the statement began has changed or locked the row `job` as the
/// statement sees it.
///
/// `xmax` names the last transaction that did, or a group of lockers by a number of another sequence ("System
/// Columns" and "Multixacts and Wraparound" in Postgres's manual). SQL cannot tell the two apart, so that this may
/// be wrong about a row, for as long as the number of an old group is that of a transaction under way, or of one to
/// come. Whoever passes over what is touched therefore looks now and then without this, and lets the lock decide.
///
/// Of a row that was locked and then changed by one transaction, as every claim does, `xmax` is that transaction's
/// number as `xmin` is: it has ended, or the statement would not see the row.
macro_rules! untouched {
    () => {
        concat!(
            "job.xmax = '0'::xid or job.xmax = job.xmin or ",
            is_over!("job")
        )
    };
}

pub(super) use {is_over, last_transaction, untouched};
