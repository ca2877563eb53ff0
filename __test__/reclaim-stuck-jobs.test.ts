import { beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';
import { beginDueJobs, jobWith, rejection, runDueJobs, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const lockedAgo = (interval: string, status = 'processing') =>
  `status = '${status}', locked_by = 'worker-9', locked_at = now() - interval '${interval}'`;

const jobSetTo = (assignments: string) => jobWith(database, assignments);
const stuckJob = (attempts: number) => jobSetTo(`${lockedAgo('1 h')}, attempts = ${attempts}`);

beforeEach(() => database.query('truncate job_queue'));

test('a stuck job with attempts left is pending again, and runs', async () => {
  const id = await stuckJob(1);
  expect(await queue.reclaimStuckJobs()).toBe(1);
  expect(await queue.getJob(id)).toMatchObject({
    status: 'pending',
    attempts: 1,
    locked_at: null,
    locked_by: null,
    next_attempt_at: null,
  });
  expect(await runDueJobs(queue)).toEqual([id]);
  expect(await queue.getJob(id)).toMatchObject({ status: 'completed', attempts: 2 });
});

test('a stuck job without attempts left has failed, and its history says that the worker was lost', async () => {
  const id = await stuckJob(3);
  await database.query(`update job_queue set error_history = '[{"message": "earlier"}]'`);
  expect(await queue.reclaimStuckJobs()).toBe(1);
  expect(await queue.getJob(id)).toMatchObject({
    status: 'failed',
    attempts: 3,
    locked_at: null,
    locked_by: null,
    next_attempt_at: null,
    error_history: [
      { message: 'earlier' },
      {
        message: expect.stringMatching(/^Worker lost: worker-9 .* attempt 3 of 3$/),
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        attempt: 3,
      },
    ],
  });
  expect(await runDueJobs(queue)).toEqual([]);
  expect(await queue.reclaimStuckJobs(0)).toBe(0);
});

test('a job that has failed this way can be retried', async () => {
  const id = await stuckJob(3);
  await queue.reclaimStuckJobs();
  await queue.retryJob(id);
  expect(await runDueJobs(queue)).toEqual([id]);
});

describe('which jobs are stuck', () => {
  const stuckUnder = async (state: string, minutes?: number) => {
    const id = await jobSetTo(state);
    const before = await queue.getJob(id);
    const reclaimed = await queue.reclaimStuckJobs(minutes);
    const after = await queue.getJob(id);
    if (reclaimed === 0) expect(after).toEqual(before);
    else expect(after?.status).not.toBe('processing');
    return reclaimed === 1;
  };

  test.each([
    ['locked eleven minutes ago', lockedAgo('11 min'), undefined, true],
    ['locked nine minutes ago', lockedAgo('9 min'), undefined, false],
    ['locked longer ago than asked for', lockedAgo('31 min'), 30, true],
    ['locked less long ago than asked for', lockedAgo('29 min'), 30, false],
    ['by fractions of a minute', lockedAgo('31 s'), 0.5, true],
    ['not yet, by fractions of a minute', lockedAgo('20 s'), 0.5, false],
    ['of 0 minutes: all that no lease keeps', lockedAgo('1 ms'), 0, true],
    ['of the longest time', lockedAgo('1000 years'), 1_000_000_000, false],
    ['locked since ever', `status = 'processing', locked_at = '-infinity'`, undefined, true],
    [
      'never locked, by the time of the last update',
      `status = 'processing', locked_at = null, updated_at = now() - interval '1 h'`,
      undefined,
      true,
    ],
    [
      'never locked, and updated just now',
      `status = 'processing', locked_at = null, updated_at = now()`,
      undefined,
      false,
    ],
    [
      'under a live lease',
      `${lockedAgo('2 h')}, lease_expires_at = now() + interval '1 min'`,
      0,
      false,
    ],
    [
      'under a lease that has ended',
      `${lockedAgo('2 h')}, lease_expires_at = now() - interval '1 s'`,
      undefined,
      true,
    ],
    [
      'claimed by the original, which left the lease of an earlier run as it was',
      `${lockedAgo('11 min')}, lease_expires_at = now() - interval '1 day'`,
      undefined,
      true,
    ],
    ['only processing ones: pending', lockedAgo('1 h', 'pending'), 0, false],
    ['only processing ones: failed', lockedAgo('1 h', 'failed'), 0, false],
    ['only processing ones: completed', lockedAgo('1 h', 'completed'), 0, false],
    ['only processing ones: cancelled', lockedAgo('1 h', 'cancelled'), 0, false],
  ])('%s', async (_, state, minutes, expected) => {
    expect(await stuckUnder(state, minutes)).toBe(expected);
  });

  test('not one that a processor of this package runs, however long', async () => {
    const id = await jobSetTo('');
    const run = await beginDueJobs(queue);
    await database.query(`update job_queue set locked_at = now() - interval '1 day'`);
    expect(await queue.reclaimStuckJobs(0)).toBe(0);
    await run.finish();
    expect(await queue.getJob(id)).toMatchObject({ status: 'completed', attempts: 1 });
  });
});

test('a job that something without leases marked as processing comes back by reclaiming only', async () => {
  const id = await stuckJob(1);
  expect(await runDueJobs(queue)).toEqual([]);
  expect(await queue.getJob(id)).toMatchObject({ status: 'processing' });
  await queue.reclaimStuckJobs();
  expect(await runDueJobs(queue)).toEqual([id]);
});

test('a job whose worker died under a lease comes back by itself', async () => {
  const id = await jobSetTo(
    `${lockedAgo('3 min')}, attempts = 1, lease_expires_at = now() - interval '2 min'`,
  );
  expect(await runDueJobs(queue)).toEqual([id]);
});

test('all stuck jobs are reclaimed at once, and counted', async () => {
  await database.query(`
    insert into job_queue (job_type, payload, status, attempts, locked_at)
    select 'task', '{}', 'processing', n % 4, now() - interval '1 h' from generate_series(1, 2000) n`);
  expect(await queue.reclaimStuckJobs()).toBe(2000);
  expect(await queue.getJobsByStatus('pending', 2000)).toHaveLength(1500);
  expect(await queue.getJobsByStatus('failed', 2000)).toHaveLength(500);
  expect(await queue.reclaimStuckJobs()).toBe(0);
});

test('two that reclaim at the same time count each job once', async () => {
  for (let n = 0; n < 20; n++) await stuckJob(1);
  const counts = await Promise.all([queue.reclaimStuckJobs(), queue.reclaimStuckJobs()]);
  expect(counts.reduce((sum, count) => sum + count)).toBe(20);
  expect((await queue.getJobsByStatus('pending')).map((job) => job.error_history.length)).toEqual(
    Array(20).fill(1),
  );
});

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 1_000_000_001, '10', null])(
  'what is no time is refused: %o',
  async (minutes) => {
    await stuckJob(1);
    await rejection(
      queue.reclaimStuckJobs(minutes as number),
      'INVALID_ARGUMENT',
      /^reclaimStuckJobs: maxProcessingTimeMinutes must be a number between 0 and 1000000000/,
    );
    expect(await queue.getJobsByStatus('processing')).toHaveLength(1);
  },
);
