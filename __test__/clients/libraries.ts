/**
 * The database clients that apps have, each with transactions and savepoints in its own way, so that
 * one suite can test for all of them the promises that users rely on.
 */
import { join } from 'node:path';
import {
  Client as NeonClient,
  Pool as NeonPool,
  type PoolClient as NeonPoolClient,
} from '@neondatabase/serverless';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaPg as PrismaPg6 } from '@prisma/adapter-pg-6';
import { drizzle as drizzleNeon } from 'drizzle-orm/neon-serverless';
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js';
import knex, { type Knex } from 'knex';
import {
  CamelCasePlugin,
  Kysely,
  type KyselyPlugin,
  ParseJSONResultsPlugin,
  PostgresDialect,
} from 'kysely';
import { Client, Pool, type PoolClient, type types } from 'pg';
import postgres from 'postgres';
import { DataSource, EntitySchema } from 'typeorm';
import { DataSource as DataSource03 } from 'typeorm-0.3';
import type { DatabaseClient } from '../../index.js';
import { prismaFolder } from '../helpers/prisma.js';
import { byHand, type Opened, savepointsByHand, type Transaction } from './opened.js';

/** What opens a client on the database of a connection string. */
export type Open = (url: string) => Promise<Opened>;

export const libraries: Record<string, Open> = {
  'a Pool of node-postgres': async (url) => openPool(quietly(new Pool({ connectionString: url }))),
  'a PoolClient of node-postgres': async (url) => {
    const pool = new Pool({ connectionString: url });
    const client = await pool.connect();
    const close = () => {
      client.release();
      return pool.end();
    };
    return { ...connectionByHand(client), close };
  },
  'a Client of node-postgres': async (url) => openClient(new Client({ connectionString: url })),
  'anything with a query method': async (url) => {
    const pool = new Pool({ connectionString: url });
    return { ...openPool(pool), db: { query: (text, values) => pool.query(text, values) } };
  },
  'anything whose query gives the rows themselves': async (url) => {
    const pool = new Pool({ connectionString: url });
    const query = async (text: string, values: unknown[]) => (await pool.query(text, values)).rows;
    // Its types do not promise to take it: a job would be added, and the call would still reject.
    return { ...openPool(pool), db: { query } as unknown as DatabaseClient };
  },
  'Prisma 7': (url) => openPrisma(7, new PrismaPg({ connectionString: url })),
  'Prisma 7, extended': (url) =>
    openPrisma(7, new PrismaPg({ connectionString: url }), (prisma) =>
      prisma.$extends({ query: { $allOperations: ({ args, query }) => query(args) } }),
    ),
  'Prisma 6': (url) => openPrisma(6, new PrismaPg6({ connectionString: url })),
  'Drizzle on node-postgres': async (url) => {
    const pool = quietly(new Pool({ connectionString: url }));
    return openDrizzle(drizzlePg(pool, { casing: 'camelCase' }), () => pool.end());
  },
  'Drizzle on postgres.js': async (url) => {
    const sql = openSql(url);
    return openDrizzle(drizzlePostgresJs(sql), () => sql.end());
  },
  "Drizzle on Neon's driver": async (url) => {
    const pool = quietly(new NeonPool({ connectionString: url }));
    return openDrizzle(drizzleNeon(pool), () => pool.end());
  },
  Kysely: (url) => openKysely(url),
  'Kysely with plugins': (url) =>
    openKysely(url, [new CamelCasePlugin({ upperCase: true }), new ParseJSONResultsPlugin()]),
  Knex: (url) => openKnex(url),
  'Knex that renames what it gets': (url) =>
    openKnex(url, {
      wrapIdentifier: (name, wrap) => wrap(name.toLowerCase()),
      postProcessResponse: ({ rows }) =>
        rows.map((row: object) =>
          Object.fromEntries(Object.entries(row).map(([key, value]) => [`my_${key}`, value])),
        ),
    }),
  'postgres.js': async (url) => openPostgresJs(openSql(url)),
  'postgres.js that transforms what it gets': async (url) =>
    openPostgresJs(
      openSql(url, {
        transform: {
          ...postgres.camel,
          column: { from: (name: string) => `my_${name}` },
          value: { from: (value: unknown) => ({ value }) },
        },
        types: { text: { to: 25, from: [25], serialize: String, parse: (text: string) => [text] } },
      }),
    ),
  'postgres.js, a connection reserved': async (url) => {
    const sql = openSql(url);
    const reserved = await sql.reserve();
    const query = (text: string) => reserved.unsafe(text);
    const close = () => {
      reserved.release();
      return sql.end();
    };
    return { ...byHand({ query }, reserved), close };
  },
  'TypeORM 1': (url) => openTypeOrm(new DataSource({ type: 'postgres', url })),
  'TypeORM 0.3': (url) => openTypeOrm(new DataSource03({ type: 'postgres', url })),
  'a Repository of TypeORM': async (url) => {
    const entity = new EntitySchema<object>({
      name: 'nothing',
      columns: { id: { type: Number, primary: true } },
    });
    const dataSource = new DataSource({ type: 'postgres', url, entities: [entity] });
    return { ...(await openTypeOrm(dataSource)), db: dataSource.getRepository(entity) };
  },
  'a QueryRunner of TypeORM': async (url) => {
    const dataSource = await new DataSource({ type: 'postgres', url }).initialize();
    const runner = dataSource.createQueryRunner();
    const close = async () => {
      await runner.release();
      await dataSource.destroy();
    };
    return { ...byHand({ query: (text) => runner.query(text) }, runner), close };
  },
  "a Pool of Neon's driver": async (url) =>
    openPool(quietly(new NeonPool({ connectionString: url }))),
  "a Client of Neon's driver": async (url) => openClient(new NeonClient({ connectionString: url })),
};

/** Parsers that change every number, date and JSON text as no sensible application would. */
const strangeTypes = {
  getTypeParser: (oid: number) => (text: unknown) =>
    oid === 25 ? text : { strangely: 'parsed', oid },
} as unknown as typeof types;

/** Settings under which Postgres writes dates and texts differently, and finds no table by name. */
const strangeSettings = [
  'TimeZone=Asia/Kathmandu',
  'DateStyle=SQL,DMY',
  'IntervalStyle=sql_standard',
  'extra_float_digits=-5',
  'standard_conforming_strings=off',
  'search_path=pg_temp',
];

/** Clients of node-postgres that are set up as few are. */
export const strangeClients: Record<string, Open> = {
  'a Pool with type parsers of its own': async (url) =>
    openPool(new Pool({ connectionString: url, types: strangeTypes })),
  'a Client with type parsers of its own': async (url) => {
    const client = new Client({ connectionString: url });
    for (const oid of [16, 20, 21, 23, 114, 701, 1114, 1184, 1700, 3802]) {
      client.setTypeParser(oid, () => 'strange');
    }
    return openClient(client);
  },
  'a Client with settings of its own': async (url) => {
    const options = strangeSettings.map((setting) => `-c ${setting}`).join(' ');
    return openClient(new Client({ connectionString: url, options }));
  },
};

/** An idle connection that a test cuts would otherwise end the process. */
function quietly<P extends Pool | NeonPool>(pool: P): P {
  pool.on('error', () => {});
  return pool;
}

/** A connection of node-postgres, or of a driver made after it. */
function connectionByHand(client: PoolClient | Client | NeonClient | NeonPoolClient) {
  return byHand({ query: (text) => (client as Client).query(text) }, client);
}

function openPool(pool: Pool | NeonPool): Opened {
  return {
    db: pool,
    async transaction(work) {
      const client = await pool.connect();
      try {
        return await connectionByHand(client).transaction(work);
      } finally {
        client.release();
      }
    },
    close: () => pool.end(),
  };
}

async function openClient(client: Client | NeonClient): Promise<Opened> {
  client.on('error', () => {});
  await client.connect();
  return { ...connectionByHand(client), close: () => client.end() };
}

/** What the suite uses of a generated client, whose types are there only when it was generated. */
interface Prisma {
  $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown>;
  $executeRawUnsafe(text: string): Promise<number>;
  $transaction<T>(work: (tx: Prisma) => Promise<T>): Promise<T>;
  $extends(extension: {
    query: { $allOperations(call: { args: unknown; query(args: unknown): unknown }): unknown };
  }): Prisma;
  $disconnect(): Promise<void>;
}

async function openPrisma(
  version: 6 | 7,
  adapter: unknown,
  extend = (prisma: Prisma) => prisma,
): Promise<Opened> {
  const { PrismaClient } = await import(join(await prismaFolder(version), 'client/client.ts'));
  const prisma = extend(new PrismaClient({ adapter }));
  return {
    db: prisma,
    transaction: (work) =>
      prisma.$transaction((tx) =>
        work(
          version === 7
            ? { db: tx, savepoint: (inner) => tx.$transaction(inner) }
            : savepointsByHand({ query: (text) => tx.$executeRawUnsafe(text) }, tx),
        ),
      ),
    close: () => prisma.$disconnect(),
  };
}

function openDrizzle(db: PgDatabase<PgQueryResultHKT>, close: () => Promise<unknown>): Opened {
  return {
    db,
    transaction: (work) =>
      db.transaction((tx) => work({ db: tx, savepoint: (inner) => tx.transaction(inner) })),
    close,
  };
}

async function openKysely(url: string, plugins: KyselyPlugin[] = []): Promise<Opened> {
  const pool = quietly(new Pool({ connectionString: url }));
  const db = new Kysely<object>({ dialect: new PostgresDialect({ pool }), plugins });
  return {
    db,
    async transaction(work) {
      const tx = await db.startTransaction().execute();
      const savepoint: Transaction['savepoint'] = async (inner) => {
        const nested = await tx.savepoint('s').execute();
        try {
          const result = await inner(nested);
          await nested.releaseSavepoint('s').execute();
          return result;
        } catch (error) {
          await nested.rollbackToSavepoint('s').execute();
          throw error;
        }
      };
      try {
        const result = await work({ db: tx, savepoint });
        await tx.commit().execute();
        return result;
      } catch (error) {
        await tx.rollback().execute();
        throw error;
      }
    },
    close: () => db.destroy(),
  };
}

async function openKnex(url: string, config: Knex.Config = {}): Promise<Opened> {
  // It also prints the error that it rejects with.
  const log = { warn() {}, error() {} };
  const db = knex({ client: 'pg', connection: url, log, ...config });
  return {
    db,
    transaction: (work) =>
      db.transaction((tx) => work({ db: tx, savepoint: (inner) => tx.transaction(inner) })),
    close: () => db.destroy(),
  };
}

/** What the suite uses of TypeORM, alike in both versions. */
interface TypeOrm {
  transaction<T>(work: (manager: DatabaseClient & TypeOrm) => Promise<T>): Promise<T>;
}

async function openTypeOrm(
  dataSource: DatabaseClient &
    TypeOrm & { initialize(): Promise<unknown>; destroy(): Promise<void> },
): Promise<Opened> {
  await dataSource.initialize();
  return {
    db: dataSource,
    transaction: (work) =>
      dataSource.transaction((manager) =>
        // A transaction in a transaction is a savepoint.
        work({ db: manager, savepoint: (inner) => manager.transaction(inner) }),
      ),
    close: () => dataSource.destroy(),
  };
}

function openSql(
  url: string,
  options: postgres.Options<Record<string, postgres.PostgresType>> = {},
) {
  return postgres(url, { onnotice: () => {}, max: 3, ...options });
}

function openPostgresJs(sql: postgres.Sql): Opened {
  return {
    db: sql,
    async transaction<T>(work: (tx: Transaction) => Promise<T>) {
      const run = (tx: postgres.TransactionSql) =>
        work({
          db: tx,
          savepoint: async <R>(inner: (db: DatabaseClient) => Promise<R>) =>
            (await tx.savepoint((nested) => inner(nested))) as R,
        });
      return (await sql.begin(run)) as T;
    },
    close: () => sql.end(),
  };
}
