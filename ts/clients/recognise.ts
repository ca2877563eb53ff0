/**
 * Tells by their shape which database clients of the caller's are of which library. None of the
 * libraries is imported: they are the caller's, in whichever version, or absent.
 */

import type { Client } from './client.js';
import { type DrizzleClient, drizzle } from './drizzle.js';
import { type KnexClient, knex } from './knex.js';
import { type KyselyClient, kysely } from './kysely.js';
import { type NodePostgresClient, nodePostgres } from './node-postgres.js';
import { type PostgresJsClient, postgresJs } from './postgres-js.js';
import { type PrismaClient, prisma } from './prisma.js';
import { typeorm } from './typeorm.js';

/**
 * A database client of the caller's own: a `Pool`, `PoolClient` or `Client` of node-postgres; the
 * client or transaction of Prisma, Drizzle, Kysely, Knex or postgres.js; a `DataSource`, `EntityManager`,
 * `QueryRunner` or `Repository` of TypeORM; or anything else with `query(text, values)` that resolves to `{ rows }`.
 */
export type DatabaseClient =
  | NodePostgresClient
  | PrismaClient
  | DrizzleClient
  | KyselyClient
  | KnexClient
  | PostgresJsClient;

/** What is taken, for the message of a refusal. */
export const CLIENTS =
  'a database client: a Pool, PoolClient or Client of node-postgres, a client or transaction of ' +
  'Prisma, Drizzle, Kysely, Knex or postgres.js, a DataSource, EntityManager, QueryRunner or Repository ' +
  'of TypeORM, or an object with query(text, values) that resolves to { rows }';

// Prisma's proxies come first, in which a name may be a model of the user's; what merely has a
// `query` comes last, since others may have one too.
const LIBRARIES = [prisma, drizzle, kysely, knex, postgresJs, typeorm, nodePostgres];

/** How to send statements through a client of the caller's; `null` if it is none. */
export function recognise(value: unknown): Client | null {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return null;
  for (const library of LIBRARIES) {
    const client = library(value);
    if (client !== null) return client;
  }
  return null;
}
