/** What is no database client. A line that compiles fails: its `@ts-expect-error` is unused. */

import { drizzle as drizzleMySql } from 'drizzle-orm/mysql-proxy';
import { drizzle as drizzleSqlite } from 'drizzle-orm/sqlite-proxy';
import { Pool } from 'pg';
import type { JobQueue } from 'pg-bg-job-queue';
import type { PrismaClient } from '../../../target/prisma/7/client/client.js';

declare const queue: JobQueue<{ email: { to: string } }>;
declare const prisma: PrismaClient;
const mySql = drizzleMySql(async () => ({ rows: [] }));
const sqlite = drizzleSqlite(async () => ({ rows: [] }));
const job = { job_type: 'email', payload: { to: 'a' } } as const;

export async function wrong(): Promise<void> {
  // @ts-expect-error nothing
  await queue.addJob(job, { db: {} });
  // @ts-expect-error a connection string
  await queue.addJob(job, { db: 'postgresql://localhost' });
  // @ts-expect-error a transaction that is missing
  await queue.addJob(job, { db: null });
  // @ts-expect-error a transaction that may be missing, in the first place
  await queue.addJob(undefined as Pool | undefined, job);
  // @ts-expect-error a client as the options
  await queue.addJob(job, prisma);
  // @ts-expect-error a class in place of an instance
  await queue.getJob(Pool, 1);
  // @ts-expect-error a promise of a client
  await queue.getJob(new Pool().connect(), 1);
  // @ts-expect-error a model of Prisma
  await queue.getJob(prisma.user, 1);
  // @ts-expect-error a database that is no Postgres
  await queue.getJob(mySql, 1);
  // @ts-expect-error nor this
  await queue.getJob(sqlite, 1);
  // @ts-expect-error a query that gives something else
  await queue.getJob({ query: async (_text: string, _values: unknown[]) => 1 }, 1);
  // @ts-expect-error a query that wants something else
  await queue.getJob({ query: async (_statement: { sql: string }) => ({ rows: [] }) }, 1);
  // @ts-expect-error a misspelt filter, with a client of Prisma
  await queue.cancelAllUpcomingJobs(prisma, { jobType: 'email' });
}
