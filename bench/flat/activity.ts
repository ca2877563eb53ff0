import { query } from '../database.js';

/** What the server has counted of one database. */
export interface Activity {
  statementMs: number;
  commits: number;
  rowsWritten: number;
  /** Of the whole server: a transaction that writes takes one. */
  transactionIds: number;
  deadlocks: number;
}

/** Asked from another database, so that asking does not count. */
export async function activityOf(url: string): Promise<Activity> {
  const elsewhere = Object.assign(new URL(url), { pathname: 'postgres' }).href;
  const [row] = await query<{ [Key in keyof Activity]: string }>(
    elsewhere,
    `select active_time as "statementMs", xact_commit as commits,
       tup_inserted + tup_updated + tup_deleted as "rowsWritten",
       pg_snapshot_xmax(pg_current_snapshot())::text as "transactionIds", deadlocks
     from pg_stat_database where datname = $1`,
    [new URL(url).pathname.slice(1)],
  );
  if (!row) throw new Error('the database has no statistics');
  return {
    statementMs: Number(row.statementMs),
    commits: Number(row.commits),
    rowsWritten: Number(row.rowsWritten),
    transactionIds: Number(row.transactionIds),
    deadlocks: Number(row.deadlocks),
  };
}
