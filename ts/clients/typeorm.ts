import { type Client, hasMethods, type Value } from './client.js';

/** A `DataSource`, `EntityManager`, `QueryRunner` or `Repository` of TypeORM. */
interface TypeOrmClient {
  query(text: string, values: Value[]): Promise<unknown>;
  /** The manager that it belongs to, unless it is one. */
  manager?: unknown;
  /** The connection that it keeps to, if it does. */
  queryRunner?: unknown;
}

export function typeorm(value: object): Client | null {
  if (!hasMethods(value, 'query')) return null;
  const client = value as TypeOrmClient;
  const { manager = client } = client;
  if (typeof manager !== 'object' || manager === null || !hasMethods(manager, 'getRepository')) {
    return null;
  }
  return {
    send: async (text, values) => rowsOf(await client.query(text, values)),
    isPool: !hasMethods(value, 'startTransaction') && !(manager as TypeOrmClient).queryRunner,
    // A `QueryFailedError` notes the parameters.
    beneath: (thrown) => (thrown as { driverError?: unknown } | null)?.driverError ?? thrown,
  };
}

/** TypeORM gives the rows of a select or an insert, but the rows and their number of an update or a delete. */
function rowsOf(answer: unknown): unknown {
  return Array.isArray(answer) && Array.isArray(answer[0]) ? answer[0] : answer;
}
