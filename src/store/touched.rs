//! Recognising rows that other transactions have changed or locked, without trying their locks.

/// The transaction that `xmax` of `$row` names, in the 64 bits of the snapshot. `xmax` has only 32, so it means
/// the number nearest to the snapshot that ends in these bits.
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
/// Columns" and "Multixacts and Wraparound" in Postgres's manual). SQL cannot tell the two apart, so this may
/// be wrong about a row, as long as the number of an old group is also that of a transaction under way, or of one to
/// come. Statements that pass over touched rows are therefore sent now and then without this, and the lock decides.
///
/// If one transaction has locked and then changed a row, as every claim does, both `xmax` and `xmin` are that
/// transaction's number: it has ended, or the statement would not see the row.
macro_rules! untouched {
    () => {
        concat!(
            "job.xmax = '0'::xid or job.xmax = job.xmin or ",
            is_over!("job")
        )
    };
}

pub(super) use {is_over, last_transaction, untouched};
