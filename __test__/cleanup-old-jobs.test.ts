import { beforeEach, expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';
import { jobWith, rejection, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const jobSetTo = (assignments: string) => jobWith(database, assignments);
const updatedAgo = (interval: string) =>
  `status = 'completed', updated_at = now() - interval '${interval}'`;

/** Adds many jobs at once; `n` counts them. */
const addJobs = (count: number, status: string, updatedAt: string, createdAt = 'now()') =>
  database.query(`
    insert into job_queue (job_type, payload, status, updated_at, created_at)
    select 'task', '{}', ${status}, ${updatedAt}, ${createdAt} from generate_series(1, ${count}) n`);

async function count(where = 'true'): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    `select count(*)::int as count from job_queue where ${where}`,
  );
  return row?.count ?? Number.NaN;
}

beforeEach(() => database.query('truncate job_queue'));

test.each([
  ['older than thirty days', updatedAgo('31 days'), undefined, true],
  ['younger than thirty days', updatedAgo('29 days'), undefined, false],
  ['older than asked for', updatedAgo('8 days'), 7, true],
  ['younger than asked for', updatedAgo('6 days'), 7, false],
  ['older than a fraction of a day', updatedAgo('13 h'), 0.5, true],
  ['younger than a fraction of a day', updatedAgo('11 h'), 0.5, false],
  ['just completed, where none are kept', updatedAgo('1 ms'), 0, true],
  ['just completed, where even a minute is kept', updatedAgo('0'), 1 / 1440, false],
  ['a thousand years old, where all are kept', updatedAgo('1000 years'), 1_000_000, false],
  ['of the dawn of time', `status = 'completed', updated_at = '-infinity'`, undefined, true],
  ['of the end of time', `status = 'completed', updated_at = 'infinity'`, 0, false],
  [
    'added long ago, but completed just now',
    `status = 'completed', created_at = now() - interval '1 year', run_at = created_at`,
    undefined,
    false,
  ],
])('a completed job that is %s', async (_, state, days, deleted) => {
  const id = await jobSetTo(state);
  expect(await queue.cleanupOldJobs(days)).toBe(deleted ? 1 : 0);
  expect((await queue.getJob(id)) === null).toBe(deleted);
});

test.each(['pending', 'processing', 'failed', 'cancelled', 'on hold'])(
  'a job that is %s is never deleted, however old',
  async (status) => {
    const id = await jobSetTo(`status = '${status}', updated_at = '2001-01-01'`);
    const before = await queue.getJob(id);
    expect(await queue.cleanupOldJobs(0)).toBe(0);
    expect(await queue.getJob(id)).toEqual(before);
  },
);

test('a job that a processor has completed is kept for its days', async () => {
  const id = await jobSetTo('');
  await queue.createProcessor({ task: async () => {} }).start();
  expect(await queue.cleanupOldJobs(1)).toBe(0);
  await database.query(`update job_queue set updated_at = now() - interval '25 h'`);
  expect(await queue.cleanupOldJobs(1)).toBe(1);
  expect(await queue.getJob(id)).toBeNull();
  expect(await queue.cleanupOldJobs(1)).toBe(0);
});

// A batch is 5,000 rows.
test.each([
  ['all added at the same moment', 'now()'],
  ['each added at a time of its own', `now() - n * interval '1 min'`],
  [
    'added at times that only Postgres can tell',
    `case n % 3 when 0 then '-infinity' else 'infinity' end`,
  ],
])('twelve thousand are deleted, %s', async (_, createdAt) => {
  await addJobs(12_000, `'completed'`, `now() - interval '31 days'`, `(${createdAt})::timestamptz`);
  expect(await queue.cleanupOldJobs()).toBe(12_000);
  expect(await count()).toBe(0);
});

test('the old ones are found among many that are kept', async () => {
  await addJobs(
    15_000,
    `case n % 5 when 0 then 'failed' else 'completed' end`,
    `now() - n % 3 * interval '20 days'`,
  );
  const old = `status = 'completed' and updated_at < now() - interval '30 days'`;
  expect(await count(old)).toBe(4_000);
  expect(await queue.cleanupOldJobs(30)).toBe(4_000);
  expect([await count(old), await count()]).toEqual([0, 11_000]);
});

test('two that clean up at the same time count each job once', async () => {
  await addJobs(6_000, `'completed'`, `now() - interval '31 days'`);
  const counts = await Promise.all([queue.cleanupOldJobs(), queue.cleanupOldJobs()]);
  expect(counts.reduce((sum, deleted) => sum + deleted)).toBe(6_000);
  expect(await count()).toBe(0);
});

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 1_000_001, '30', null, new Date()])(
  'what is no number of days is refused: %o',
  async (days) => {
    await jobSetTo(updatedAgo('1 year'));
    await rejection(
      queue.cleanupOldJobs(days as number),
      'INVALID_ARGUMENT',
      /^cleanupOldJobs: daysToKeep must be a number between 0 and 1000000/,
    );
    expect(await count()).toBe(1);
  },
);
