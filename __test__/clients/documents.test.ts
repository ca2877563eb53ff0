/** The code of docs/transactions.md, as it stands there. */
import { join } from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import { drizzle } from 'drizzle-orm/node-postgres';
import { pgTable, text } from 'drizzle-orm/pg-core';
import knex from 'knex';
import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import postgres from 'postgres';
import { DataSource, EntitySchema } from 'typeorm';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { JobQueue } from '../../index.js';
import { useDatabase } from '../helpers/database.js';
import { prismaFolder } from '../helpers/prisma.js';
import { openQueue } from '../helpers/queue.js';
import { writeSnippets } from '../helpers/snippets.js';

const database = useDatabase();
let queue: JobQueue;
let app: string;

/** What the snippets import from their app: from `lib/prisma` it is `prisma`. */
type Lib =
  | 'queue'
  | 'welcome'
  | 'prisma'
  | 'drizzle'
  | 'kysely'
  | 'knex'
  | 'typeorm'
  | 'sql'
  | 'pool';
const lib = vi.hoisted(() => ({}) as Record<Lib, object>);
vi.mock('@/lib/queue', () => lib.queue);
vi.mock('@/lib/welcome', () => lib.welcome);
vi.mock('@/lib/prisma', () => lib.prisma);
vi.mock('@/lib/drizzle', () => lib.drizzle);
vi.mock('@/lib/kysely', () => lib.kysely);
vi.mock('@/lib/knex', () => lib.knex);
vi.mock('@/lib/typeorm', () => lib.typeorm);
vi.mock('@/lib/sql', () => lib.sql);
vi.mock('@/lib/pool', () => lib.pool);

const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const { directUrl: url } = database;
  const pool = new Pool({ connectionString: url });
  const { PrismaClient } = await import(join(await prismaFolder(7), 'client/client.ts'));
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) });
  const sql = postgres(url);
  const knexed = knex({ client: 'pg', connection: url });
  const User = new EntitySchema<{ id: number; email: string }>({
    name: 'users',
    columns: { id: { type: Number, primary: true, generated: true }, email: { type: String } },
  });
  const dataSource = new DataSource({ type: 'postgres', url, entities: [User] });
  await dataSource.initialize();
  queue = await openQueue(database);
  app = writeSnippets('transactions');
  Object.assign(lib, {
    welcome: await import(join(app, 'lib/welcome.ts')),
    queue: { getJobQueue: async () => queue },
    prisma: { prisma },
    drizzle: { db: drizzle(pool), users: pgTable('users', { email: text() }) },
    kysely: { db: new Kysely({ dialect: new PostgresDialect({ pool }) }) },
    knex: { knex: knexed },
    typeorm: { dataSource, User },
    sql: { sql },
    pool: { pool },
  });
  closing.push(
    () => queue.close(),
    () => pool.end(),
    () => prisma.$disconnect(),
    () => sql.end(),
    () => knexed.destroy(),
    () => dataSource.destroy(),
  );
  // What is wrong with a user shows at the commit, when the job has been added.
  await database.query(`create table users (
    id serial primary key, email text unique deferrable initially deferred
  )`);
});
afterAll(() => Promise.all(closing.map((close) => close())));
beforeEach(() => database.query('truncate users, job_queue'));

test.each(['prisma', 'drizzle', 'kysely', 'knex', 'typeorm', 'postgres-js', 'node-postgres'])(
  'transactions/%s.ts adds a user and a job, both or none',
  async (name) => {
    const { signUp } = await import(join(app, `transactions/${name}.ts`));
    const both = async () => ({
      users: await database.query('select email from users'),
      jobs: (await queue.getAllJobs()).map(({ payload }) => payload.to),
    });
    await signUp('ada@example.com');
    const expected = { users: [{ email: 'ada@example.com' }], jobs: ['ada@example.com'] };
    expect(await both()).toEqual(expected);
    await expect(signUp('ada@example.com')).rejects.toThrow();
    expect(await both()).toEqual(expected);
  },
);
