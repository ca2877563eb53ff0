import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { initJobQueue, type JobQueue } from '../index.js';
import { cliOutput } from './helpers/cli.js';
import { useDatabase } from './helpers/database.js';
import { GIVEN_COLUMNS } from './helpers/given-columns.js';
import { rejection } from './helpers/queue.js';

/** A schema of its own: nobody but its owner may use it, where `public` is anybody's. */
const schema = 'jobs';
const database = useDatabase({ migrated: false });
const role = `enqueuer_${randomUUID().replaceAll('-', '')}`;

/** What a document tells to grant to a role of this name. */
function documented(file: string, granted: string): string[] {
  const text = readFileSync(join(__dirname, '../docs', file), 'utf8').replaceAll('public', schema);
  const grants = text.matchAll(/^grant ([^;]*) to (\w+);$/gm);
  return [...grants]
    .filter(([, , name]) => name === granted)
    .map(([, privilege = '']) => privilege.replace(/\s+/g, ' '));
}

/** What docs/transactions.md tells to grant to a role that only adds jobs. */
const privileges = documented('transactions.md', 'enqueuer');

const job = { job_type: 'task', payload: {} };
/** So many that they travel in a way of their own. */
const many = Array.from({ length: 1_001 }, () => job);
let queue: JobQueue;
let pool: Pool;

beforeAll(async () => {
  await cliOutput(['migrate', '--schema', schema], { url: database.directUrl });
  await database.query(`create role ${role} login password 'secret'`);
  const config = { ...database.directConfig, user: role, password: 'secret' };
  queue = await initJobQueue({ databaseConfig: config, schema });
  pool = new Pool(config);
});
afterAll(async () => {
  await queue.close();
  await pool.end();
  // What it was granted, it was in this database.
  await database.query(`drop owned by ${role}`);
  await database.query(`drop role ${role}`);
});

beforeEach(async () => {
  for (const privilege of privileges) await database.query(`grant ${privilege} to ${role}`);
});

test('both documents say the same', () => {
  expect(privileges).toHaveLength(3);
  expect(documented('guarantees.md', 'producer')).toEqual(privileges);
});

test('a role that may insert, read ids and draw them adds jobs', async () => {
  const ids = [
    await queue.addJob(job),
    ...(await queue.addJobs([job, job])),
    ...(await queue.addJobs(many)),
    await queue.addJob(job, { db: pool }),
    ...(await queue.addJobs(pool, [job, job])),
  ];
  const rows = await database.query<{ id: number }>(`select id::int from ${schema}.job_queue`);
  expect(rows.map(({ id }) => id)).toEqual(ids);
});

test('and can do nothing else with them', async () => {
  for (const first of [[], [pool]] as const) {
    for (const [method, ...args] of [
      ['getJob', 1],
      ['getAllJobs'],
      ['retryJob', 1],
      ['cancelJob', 1],
      ['cancelAllUpcomingJobs'],
      ['reclaimStuckJobs'],
      ['cleanupOldJobs'],
    ] as const) {
      const call = (queue[method] as (...args: unknown[]) => Promise<unknown>).bind(queue);
      const error = await rejection(call(...first, ...args), 'DATABASE_ERROR', /permission denied/);
      expect(error.sqlState).toBe('42501');
    }
  }
  const failed = queue.createProcessor({ task: async () => {} }, { onError() {} }).start();
  await rejection(failed, 'DATABASE_ERROR', /permission denied/);
});

test.each([
  `usage on schema ${schema}`,
  `insert (${GIVEN_COLUMNS}) on ${schema}.job_queue`,
  `select (id) on ${schema}.job_queue`,
  `usage on sequence ${schema}.job_queue_id_seq`,
])('without %s it adds none', async (privilege) => {
  await database.query(`revoke ${privilege} from ${role}`);
  for (const options of [{}, { db: pool }]) {
    const adding = queue.addJob(job, options);
    const error = await rejection(adding, 'DATABASE_ERROR', /permission denied/);
    expect(error.sqlState).toBe('42501');
  }
});

test('a role that may read, update and delete processes jobs', async () => {
  await database.query(`grant select, update, delete on ${schema}.job_queue to ${role}`);
  await database.query(`revoke insert (${GIVEN_COLUMNS}) on ${schema}.job_queue from ${role}`);
  await database.query(`revoke usage on sequence ${schema}.job_queue_id_seq from ${role}`);
  const pending = await queue.getJobsByStatus('pending', 10_000);
  const run = (removeOnComplete: boolean) =>
    queue.createProcessor({ task: async () => {} }, { batchSize: 1, removeOnComplete }).start();
  expect(await run(false)).toBe(1);
  expect(await run(true)).toBe(1);
  expect(await queue.getAllJobs(10_000)).toHaveLength(pending.length - 1);
});
