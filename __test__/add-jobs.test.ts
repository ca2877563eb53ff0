import type { PoolClient } from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';
import { rejection, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const jobs = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ job_type: 'batch', payload: { n }, priority: n % 3 }));

const count = async () => (await database.query('select from job_queue')).length;

beforeEach(() => database.query('truncate job_queue'));

describe('addJobs', () => {
  test.each<[string, () => Promise<number[]>]>([
    ['copied', () => queue.addJobs(jobs(5_000))],
    ['in one insert', () => queue.addJobs(jobs(50))],
    ['on a client', () => queue.addJobs(jobs(50), { db: database.pool })],
    ['by addJob in one turn', () => Promise.all(jobs(50).map((job) => queue.addJob(job)))],
  ])('each id is that of the job in its place: %s', async (_, add) => {
    const ids = await add();
    const added = await database.query<{ id: string; n: number }>(
      `select id, (payload->>'n')::int as n from job_queue order by n`,
    );
    expect(ids).toEqual(added.map(({ id }) => Number(id)));
  });

  test('adds nothing for an empty list', async () => {
    expect(await queue.addJobs([])).toEqual([]);
  });

  test('adds all or none, and tells the place of the fault', async () => {
    const faulty = [...jobs(3), { job_type: 'batch', payload: 1, priority: 1.5 }];
    await expect(queue.addJobs(faulty)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('addJobs: jobs[3]: priority'),
    });
    const unstorable = [...jobs(3), { job_type: 'batch', payload: { text: '\0' } }];
    await expect(queue.addJobs(unstorable)).rejects.toMatchObject({ code: 'INVALID_PAYLOAD' });
    expect(await count()).toBe(0);
  });

  test.each<[string, (client: PoolClient) => Promise<number[]>]>([
    ['first argument', (client) => queue.addJobs(client, jobs(3))],
    ['option db', (client) => queue.addJobs(jobs(3), { db: client })],
  ])("commits with the caller's transaction: %s", async (_, add) => {
    const client = await database.pool.connect();
    try {
      await client.query('begin');
      await add(client);
      await client.query('rollback');
      expect(await count()).toBe(0);

      await client.query('begin');
      expect(await add(client)).toHaveLength(3);
      await client.query('commit');
      expect(await count()).toBe(3);
    } finally {
      client.release();
    }
  });
});

test('of jobs added at the same time, one that Postgres refuses does not fail its neighbours', async () => {
  await database.query(
    `create function refuse() returns trigger language plpgsql as
    $$ begin raise 'refused'; end $$`,
  );
  await database.query(
    `create trigger refuse before insert on job_queue
    for each row when (new.job_type = 'refused') execute function refuse()`,
  );
  const types = Array.from({ length: 100 }, (_, n) => (n % 10 === 3 ? 'refused' : 'taken'));
  const added = await Promise.allSettled(
    types.map((job_type) => queue.addJob({ job_type, payload: null })),
  );
  expect(added.map(({ status }) => status)).toEqual(
    types.map((type) => (type === 'taken' ? 'fulfilled' : 'rejected')),
  );
  expect(await count()).toBe(90);

  const refused = { job_type: 'refused', payload: null };
  async function oneCaller() {
    await queue.addJob(refused);
  }
  async function anotherCaller() {
    await queue.addJob(refused);
  }
  const errors = await Promise.all([
    rejection(oneCaller(), 'DATABASE_ERROR'),
    rejection(anotherCaller(), 'DATABASE_ERROR'),
  ]);
  const callers = errors.map(({ stack }) => stack?.match(/(one|another)Caller/)?.[0]);
  expect(callers).toEqual(['oneCaller', 'anotherCaller']);
});

test('removeOnComplete deletes what completes and keeps what fails', async () => {
  const [done = 0, failed = 0] = await queue.addJobs([
    { job_type: 'done', payload: 1 },
    { job_type: 'failed', payload: 2 },
  ]);
  const handlers = {
    done: async () => {},
    failed: async () => {
      throw new Error('no');
    },
  };
  const processor = queue.createProcessor(handlers, { removeOnComplete: true });
  expect(await processor.start()).toBe(2);
  expect(await queue.getJob(done)).toBeNull();
  expect(await queue.getJob(failed)).toMatchObject({ status: 'failed' });
});
