import { type Client, hasMethods, type Value } from './client.js';
import { isPool } from './node-postgres.js';
import { postgresJs } from './postgres-js.js';

/** A Drizzle database or transaction, over any driver for Postgres. */
export interface DrizzleClient {
  execute(query: never): PromiseLike<unknown>;
  transaction(run: never): Promise<unknown>;
  /** Drizzle's databases of other kinds do not have it. */
  refreshMaterializedView(view: never): unknown;
}

/** The part of an `SQLWrapper` that Drizzle uses: it asks for an `SQL`, and that for the text and its parameters. */
interface SqlWrapper {
  getSQL(): { toQuery(): { sql: string; params: Value[] } };
}

export function drizzle(value: object): Client | null {
  if (!hasMethods(value, 'execute', 'refreshMaterializedView')) return null;
  const db = value as { execute(query: SqlWrapper): PromiseLike<unknown> };
  return {
    send: (text, values) =>
      db.execute({ getSQL: () => ({ toQuery: () => ({ sql: text, params: values }) }) }),
    isPool: !hasMethods(value, 'rollback') && isOverPool(value),
    // A `DrizzleQueryError` quotes the parameters in its message.
    beneath: (thrown) => (thrown as { cause?: unknown } | null)?.cause ?? thrown,
  };
}

/** Whether the database runs on a pool. On a single connection, only the user knows whether a transaction is open. */
function isOverPool(db: { $client?: unknown }): boolean {
  const { $client } = db;
  if ((typeof $client !== 'object' && typeof $client !== 'function') || $client === null)
    return false;
  return isPool($client) || postgresJs($client)?.isPool === true;
}
