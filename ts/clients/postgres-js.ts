import { type Client, hasMethods, type Value } from './client.js';

/** The `sql` of postgres.js: its own, a reserved one, or that of a `begin` or a `savepoint`. */
export interface PostgresJsClient {
  unsafe(text: string, values: Value[]): PromiseLike<readonly unknown[]>;
  notify(channel: string, payload: string): PromiseLike<unknown>;
}

/** The query that `unsafe` gives. `raw` passes by the user's parsers and transforms. */
interface Query {
  raw(): PromiseLike<unknown>;
}

export function postgresJs(value: object): Client | null {
  // The function of Neon's HTTP driver has an `unsafe` too, which is another thing.
  if (typeof value !== 'function' || !hasMethods(value, 'unsafe', 'notify')) return null;
  const sql = value as unknown as { unsafe(text: string, values: Value[]): Query };
  return {
    send: (text, values) => sql.unsafe(text, values).raw(),
    // A reserved connection can be released, and a transaction has savepoints.
    isPool: !hasMethods(value, 'savepoint') && !hasMethods(value, 'release'),
  };
}
