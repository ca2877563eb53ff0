/**
 * Tells by its shape of which library a database client of the caller's is. None of the libraries is imported: the
 * caller has one of its versions, or does not have it.
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
 * Your own database client: a `Pool`, `PoolClient` or `Client` of node-postgres; the client or transaction of Prisma,
 * Drizzle, Kysely, Knex or postgres.js; a `DataSource`, `EntityManager`, `QueryRunner` or `Repository` of TypeORM; or
 * an object with `query(text, values)` that resolves to `{ rows }`.
 */
export type DatabaseClient =
  | NodePostgresClient
  | PrismaClient
  | DrizzleClient
  | KyselyClient
  | KnexClient
  | PostgresJsClient;

/** The supported clients, for messages. */
export const CLIENTS =
  'a database client: a Pool, PoolClient or Client of node-postgres, a client or transaction of ' +
  'Prisma, Drizzle, Kysely, Knex or postgres.js, a DataSource, EntityManager, QueryRunner or Repository ' +
  'of TypeORM, or an object with query(text, values) that resolves to { rows }';

// Prisma's proxies come first: any name may be a model of the user's. An object that merely has a `query` comes last,
// since the clients of other libraries may have one too.
const LIBRARIES = [prisma, drizzle, kysely, knex, postgresJs, typeorm, nodePostgres];

/** Gives the client as the queue uses it, or `null` if the value is no supported client. */
export function recognise(value: unknown): Client | null {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return null;
  for (const library of LIBRARIES) {
    const client = library(value);
    if (client !== null) return client;
  }
  return null;
}
