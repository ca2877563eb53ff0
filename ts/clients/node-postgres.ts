import { type Client, hasMethods, type Value } from './client.js';

/**
 * A `Pool`, `PoolClient` or `Client` of node-postgres or of Neon's serverless driver, or an object with the same
 * `query`.
 */
export interface NodePostgresClient {
  query(text: string, values: Value[]): Promise<{ rows: unknown[] }>;
}

export function nodePostgres(value: object): Client | null {
  if (!hasMethods(value, 'query')) return null;
  const client = value as NodePostgresClient;
  return { send: (text, values) => client.query(text, values), isPool: isPool(value) };
}

export function isPool(value: object): boolean {
  const { totalCount } = value as { totalCount?: unknown };
  return hasMethods(value, 'query', 'connect') && typeof totalCount === 'number';
}
