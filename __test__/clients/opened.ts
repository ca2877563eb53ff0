/** A client that is open, and how its transactions go. */
import type { DatabaseClient } from '../../index.js';

export interface Opened {
  db: DatabaseClient;
  /** Runs `work` in a transaction, which is rolled back if it rejects. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<unknown>;
}

export interface Transaction {
  db: DatabaseClient;
  /** Runs `work` under a savepoint, and goes back to that if it rejects. */
  savepoint<T>(work: (db: DatabaseClient) => Promise<T>): Promise<T>;
}

interface Queryable {
  query(text: string): PromiseLike<unknown>;
}

async function within<T>(
  { query }: Queryable,
  [begin, commit, rollback]: [string, string, string],
  work: () => Promise<T>,
): Promise<T> {
  await query(begin);
  try {
    const result = await work();
    await query(commit);
    return result;
  } catch (error) {
    await query(rollback);
    throw error;
  }
}

/** A transaction on `connection` in which savepoints are made in SQL. */
export function savepointsByHand(connection: Queryable, db: DatabaseClient): Transaction {
  const commands = ['savepoint s', 'release savepoint s', 'rollback to savepoint s'] as const;
  return { db, savepoint: (work) => within(connection, [...commands], () => work(db)) };
}

/** Transactions on one connection, in SQL. */
export function byHand(
  connection: Queryable,
  db: DatabaseClient,
): Pick<Opened, 'db' | 'transaction'> {
  return {
    db,
    transaction: (work) =>
      within(connection, ['begin', 'commit', 'rollback'], () =>
        work(savepointsByHand(connection, db)),
      ),
  };
}
