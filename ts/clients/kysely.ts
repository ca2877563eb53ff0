import { type Client, hasMethods, type Value } from './client.js';

/** A Kysely instance or transaction. */
export interface KyselyClient {
  executeQuery(query: never): Promise<{ rows: unknown[] }>;
  withoutPlugins(): unknown;
}

/** A query as Kysely's `CompiledQuery.raw` makes it. */
interface CompiledQuery {
  sql: string;
  parameters: readonly Value[];
  query: { kind: 'RawNode'; sqlFragments: readonly string[]; parameters: readonly never[] };
  queryId: { queryId: string };
}

interface Executor {
  executeQuery(query: CompiledQuery): Promise<unknown>;
}

export function kysely(value: object): Client | null {
  if (!hasMethods(value, 'executeQuery', 'withoutPlugins')) return null;
  const db = value as { withoutPlugins(): Executor; isTransaction?: unknown };
  return {
    isPool: db.isTransaction === false,
    send: (text, values) =>
      // A plugin may rename the column, or parse text that looks like JSON.
      db.withoutPlugins().executeQuery({
        sql: text,
        parameters: values,
        query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
        queryId: { queryId: 'pg-bg-job-queue' },
      }),
  };
}
