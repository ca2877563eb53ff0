/** The database clients that the types take, each under the type that its library gives it. */

import {
  Client as NeonClient,
  Pool as NeonPool,
  type PoolClient as NeonPoolClient,
} from '@neondatabase/serverless';
import type { ExtractTablesWithRelations } from 'drizzle-orm';
import { drizzle as drizzleNeonHttp } from 'drizzle-orm/neon-http';
import { drizzle as drizzleNeon, type NeonDatabase } from 'drizzle-orm/neon-serverless';
import { drizzle, type NodePgDatabase, type NodePgTransaction } from 'drizzle-orm/node-postgres';
import { type PgDatabase, type PgQueryResultHKT, pgTable, text } from 'drizzle-orm/pg-core';
import { drizzle as drizzlePostgresJs, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { Knex } from 'knex';
import type { ControlledTransaction, Kysely, Transaction } from 'kysely';
import { Client, Pool, type PoolClient } from 'pg';
import type { DatabaseClient, JobQueue } from 'pg-bg-job-queue';
import postgres from 'postgres';
import type { DataSource, EntityManager, QueryRunner, Repository } from 'typeorm';
import type { DataSource as DataSource03, EntityManager as EntityManager03 } from 'typeorm-0.3';
import type {
  Prisma as Prisma6,
  PrismaClient as PrismaClient6,
} from '../../../target/prisma/6/client/client.js';
import type {
  Prisma as Prisma7,
  PrismaClient as PrismaClient7,
} from '../../../target/prisma/7/client/client.js';

interface Jobs {
  email: { to: string };
}
declare const queue: JobQueue<Jobs>;

/** Every way to name a client, for one of a type of its own: a union may be taken for one member. */
async function use<Db extends DatabaseClient>(db: Db): Promise<void> {
  const job = { job_type: 'email', payload: { to: 'a' } } as const;
  const id: number = await queue.addJob(job, { db });
  await queue.addJob(db, job);
  const ids: number[] = await queue.addJobs([job], { db });
  await queue.addJobs(db, [job]);
  const record = await queue.getJob(db, id);
  console.log(ids, record?.payload.to);
  await queue.getJobsByStatus(db, 'failed', 10, 20);
  await queue.getAllJobs(db, 10, 20);
  await queue.retryJob(db, 1);
  await queue.cancelJob(db, 1);
  await queue.cancelAllUpcomingJobs(db, { job_type: 'email' });
  await queue.reclaimStuckJobs(db, 10);
  await queue.cleanupOldJobs(db, 30);
}

export async function nodePostgres(pool: Pool, client: PoolClient): Promise<void> {
  await use(pool);
  await use(client);
  await use(new Client());
  await queue.getJob(pool, 1);
  await queue.getJob(client, 1);
}

export async function neon(client: NeonPoolClient): Promise<void> {
  await use(new NeonPool());
  await use(new NeonClient(''));
  await use(client);
  await queue.getJob(client, 1);
}

export async function prisma(prisma6: PrismaClient6, prisma7: PrismaClient7): Promise<void> {
  await use(prisma6);
  await use(prisma7);
  await prisma6.$transaction(async (tx: Prisma6.TransactionClient) => use(tx));
  await prisma7.$transaction(async (tx: Prisma7.TransactionClient) => use(tx));
  const extended = prisma7.$extends({
    model: { user: { async first() {} } },
    client: { $log: (message: string) => console.log(message) },
    query: { $allOperations: ({ args, query }) => query(args) },
  });
  await use(extended);
  await extended.$transaction(async (tx) => {
    await use(tx);
    await queue.addJob({ job_type: 'email', payload: { to: 'a' } }, { db: tx });
  });
  await use(prisma6.$extends({ name: 'nothing' }));
}

const users = pgTable('users', { email: text() });
const schema = { users };

export async function drizzles(
  any: PgDatabase<PgQueryResultHKT>,
  database: NodePgDatabase,
  transaction: NodePgTransaction<typeof schema, ExtractTablesWithRelations<typeof schema>>,
  onPostgresJs: PostgresJsDatabase<typeof schema>,
  onNeon: NeonDatabase,
): Promise<void> {
  await use(any);
  await use(database);
  await use(transaction);
  await use(onPostgresJs);
  await use(onNeon);
  await use(drizzle(''));
  await use(drizzlePostgresJs(''));
  await use(drizzleNeon(''));
  await use(drizzleNeonHttp(''));
  const db = drizzle({ client: new Pool(), schema });
  await use(db);
  await db.transaction(async (tx) => {
    await use(tx);
    await queue.addJob({ job_type: 'email', payload: { to: 'a' } }, { db: tx });
    await tx.transaction(use);
  });
}

interface Tables {
  users: { email: string };
}

export async function kysely(
  db: Kysely<Tables>,
  tx: Transaction<Tables>,
  controlled: ControlledTransaction<Tables>,
): Promise<void> {
  await use(db);
  await use(tx);
  await use(controlled);
  await db.transaction().execute(async (own) => {
    await use(own);
    await queue.addJob({ job_type: 'email', payload: { to: 'a' } }, { db: own });
  });
}

export async function knex(db: Knex, tx: Knex.Transaction<Tables['users']>): Promise<void> {
  await use(db);
  await use(tx);
  await db.transaction(async (own) => {
    await use(own);
    await queue.addJob({ job_type: 'email', payload: { to: 'a' } }, { db: own });
  });
}

export async function postgresJs(): Promise<void> {
  const sql = postgres('');
  await use(sql);
  await use(postgres('', { types: { bigint: postgres.BigInt }, transform: postgres.camel }));
  await use(await sql.reserve());
  await sql.begin(async (tx) => {
    await use(tx);
    await queue.addJob({ job_type: 'email', payload: { to: 'a' } }, { db: tx });
    await tx.savepoint((nested) => use(nested));
  });
}

export async function typeorm(
  dataSource: DataSource,
  manager: EntityManager,
  runner: QueryRunner,
  repository: Repository<Tables['users']>,
  older: DataSource03,
  olderManager: EntityManager03,
): Promise<void> {
  await use(dataSource);
  await use(manager);
  await use(runner);
  await use(repository);
  await use(older);
  await use(olderManager);
  await dataSource.transaction(async (tx) => {
    await use(tx);
    await queue.addJob({ job_type: 'email', payload: { to: 'a' } }, { db: tx });
    await tx.transaction(use);
  });
}

export async function anythingElse(): Promise<void> {
  await use({ query: async (_text: string, _values: unknown[]) => ({ rows: [], rowCount: 0 }) });
  await use({
    query: async (_text: string, _values?: (string | null)[]) => ({ rows: [{ a: 1 }] }),
  });
}
