/** Old jobs that are deleted as `retention` of `initJobQueue` says. */
import { describe, expect, test } from 'vitest';
import { createRouteHandler, type JobQueueConfig, type JobQueueError } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { behindPooler } from './helpers/modes.js';
import { openQueue, rejection } from './helpers/queue.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

const DAYS_AGO = (days: number) => `now() - interval '${days} days'`;

/** Adds jobs by their status and age, and gives a name to each by its payload. */
async function addAges(): Promise<void> {
  for (const status of ['completed', 'failed', 'cancelled', 'pending', 'processing']) {
    for (const days of [1, 11, 101]) {
      await jobs.insert(1, {
        payload: `'"${status} ${days}"'`,
        status: `'${status}'`,
        attempts: status === 'failed' ? '3' : '0',
        created_at: DAYS_AGO(days),
        updated_at: DAYS_AGO(days),
        run_at: `now() + interval '1 hour'`,
        lease_expires_at: `now() + interval '1 hour'`,
        locked_at: 'now()',
      });
    }
  }
  // It is tried again, so it has not ended.
  await jobs.insert(1, {
    payload: `'"waiting 101"'`,
    status: `'failed'`,
    attempts: '1',
    next_attempt_at: `now() + interval '1 hour'`,
    created_at: DAYS_AGO(101),
    updated_at: DAYS_AGO(101),
  });
}

const left = async () => (await jobs.rows()).map(({ payload }) => String(payload));

const neverOld = [1, 11, 101].flatMap((days) => [`pending ${days}`, `processing ${days}`]);

/** Has a processor work in the background until the table is as it should be. */
async function inBackground(retention: JobQueueConfig['retention'], is: () => Promise<boolean>) {
  const queue = await jobs.openQueue({ retention });
  const errors = new Journal<JobQueueError>();
  const processor = queue.createProcessor({}, { onError: (error) => errors.note(error) });
  processor.startInBackground();
  await until(is, { what: 'the old jobs are deleted', timeoutMs: 20_000 });
  await processor.stopAndDrain();
  return errors.notes;
}

test('a processor in the background deletes them, by their status', async () => {
  await addAges();
  const kept = [
    'completed 1',
    'failed 1',
    'failed 11',
    'cancelled 1',
    'cancelled 11',
    'waiting 101',
  ];
  const expected = [...kept, 'cancelled 101', ...neverOld].sort();
  const retention = { completed: 10, failed: 100, cancelled: false } as const;
  await inBackground(retention, async () => (await jobs.rows()).length <= expected.length);
  expect((await left()).sort()).toEqual(expected);
});

test('all of many, and those that Postgres does not let go are told of once', async () => {
  const old = { created_at: DAYS_AGO(2), updated_at: DAYS_AGO(2) };
  const [first] = await jobs.insert(11_000, { status: `'cancelled'`, ...old });
  await jobs.insert(10, { status: `'completed'`, ...old });
  await jobs.database.query(`
    create table reports (job_id bigint references job_queue (id));
    insert into reports values (${first})`);
  try {
    const errors = await inBackground(
      { completed: 1, cancelled: 1.5 },
      async () => (await jobs.rows()).length === 1,
    );
    expect(errors.map((error) => error.code)).toEqual(['DATABASE_ERROR']);
    expect(errors[0]?.message).toContain(`job ${first} `);
  } finally {
    await jobs.database.query('drop table reports');
  }
});

const slow = test.skipIf(behindPooler('the pooler goes on with what its client has left'));

slow(
  'one that is slow to delete holds up no job, and the other old ones for a while',
  async () => {
    const old = { created_at: DAYS_AGO(2), updated_at: DAYS_AGO(2), status: `'cancelled'` };
    const ids = await jobs.insert(30, old);
    const slowest = ids[10] as number;
    await jobs.database.query(`
    create function sleep() returns trigger language plpgsql as $$
    begin if old.id = ${slowest} then perform pg_sleep(60); end if; return old; end $$;
    create trigger sleep before delete on job_queue for each row execute function sleep()`);
    try {
      const queue = await jobs.openQueue({
        retention: { cancelled: 1 },
        databaseConfig: { max: 1 },
      });
      const told = new Journal<string>();
      const waits: number[] = [];
      const job = async (addedAt: number) => void waits.push(Date.now() - addedAt);
      const options = {
        onError: (error: JobQueueError) => told.note(error.message),
        pollInterval: 50,
      };
      const processor = queue.createProcessor({ job }, options);
      processor.startInBackground();
      const others = async () => {
        await jobs.insert(1, { payload: `'${Date.now()}'`, priority: '1' });
        return (await jobs.rows(`status = 'cancelled'`)).length === 1;
      };
      await until(others, { what: 'the others are deleted', timeoutMs: 30_000 });
      await processor.stopAndDrain();
      expect(await jobs.rows(`status = 'cancelled'`)).toEqual([
        expect.objectContaining({ id: slowest }),
      ]);
      expect(told.notes).toEqual([expect.stringContaining('takes longer than 1000 ms')]);
      // Each try is a second.
      expect(Math.max(...waits)).toBeLessThan(4_000);
    } finally {
      await jobs.database.query('drop function sleep cascade');
    }
  },
  60_000,
);

describe('a route deletes them', () => {
  async function call(retention: JobQueueConfig['retention'], daysToKeep?: number | false) {
    const queue = await jobs.openQueue({ retention });
    const options = {
      secret: 's',
      reclaim: false,
      ...(daysToKeep !== undefined && { daysToKeep }),
    };
    const { GET } = createRouteHandler(() => queue, {}, options);
    const headers = { authorization: 'Bearer s' };
    const response = await GET(new Request('http://localhost', { headers }));
    const { deleted } = (await response.json()) as { deleted: number };
    return { deleted, left: (await left()).filter((job) => !neverOld.includes(job)).sort() };
  }
  const all = ['completed', 'failed', 'cancelled'].flatMap((status) =>
    [1, 11, 101].map((days) => `${status} ${days}`),
  );
  const without = (...deleted: string[]) =>
    [...all, 'waiting 101'].filter((job) => !deleted.includes(job)).sort();

  test.each<[string, JobQueueConfig['retention'], number | false | undefined, string[]]>([
    [
      'completed ones after 30 days, where nothing is said',
      undefined,
      undefined,
      ['completed 101'],
    ],
    [
      'as the queue says, and completed ones after 30 days where it does not',
      { failed: 10, cancelled: 100 },
      undefined,
      ['completed 101', 'failed 11', 'failed 101', 'cancelled 101'],
    ],
    [
      'as the queue says of completed ones',
      { completed: 10 },
      undefined,
      ['completed 11', 'completed 101'],
    ],
    ['none, where the queue keeps them', { completed: false }, undefined, []],
    ['as its own daysToKeep says', { completed: false }, 100, ['completed 101']],
    ['none, as its own daysToKeep says', { completed: 10 }, false, []],
  ])('%s', async (_, retention, daysToKeep, deleted) => {
    await addAges();
    expect(await call(retention, daysToKeep)).toEqual({
      deleted: deleted.length,
      left: without(...deleted),
    });
  });

  test('also behind many that were added long ago and ended just now', async () => {
    const old = { created_at: DAYS_AGO(90), status: `'completed'` };
    await jobs.insert(6_000, { ...old, updated_at: 'now()' });
    await jobs.insert(5, { ...old, updated_at: DAYS_AGO(80), created_at: DAYS_AGO(80) });
    expect((await call(undefined)).deleted).toBe(5);
  });
});

test.each<[unknown, RegExp]>([
  [30, /retention must be an object, got a number/],
  [{ completd: 1 }, /unknown option "completd" \(did you mean completed\?\)/],
  [{ completed: -1 }, /retention\.completed must be a number/],
  [{ failed: '30' }, /retention\.failed must be a number/],
  [{ cancelled: true }, /retention\.cancelled must be a number/],
  [{ cancelled: Number.NaN }, /retention\.cancelled must be a number/],
])('%o is refused', async (wrong, message) => {
  const retention = wrong as JobQueueConfig['retention'];
  const error = await rejection(openQueue(jobs.database, { retention }), 'INVALID_CONFIG', message);
  expect(error.message).toMatch(/^initJobQueue: /);
});
