import { beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';
import { beginDueJobs, jobWith, rejection, runDueJobs, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const jobSetTo = (assignments: string) => jobWith(database, assignments);

beforeEach(() => database.query('truncate job_queue'));

describe('a job that is retried is pending and runs at once', () => {
  test.each([
    ['a pending one', ''],
    ['a scheduled one', `run_at = now() + interval '1 year'`],
    ['one that was never to run', `run_at = 'infinity'`],
    ['one without a run_at', 'run_at = null'],
    [
      'one that failed and waits for its next attempt',
      `status = 'failed', attempts = 1, next_attempt_at = now() + interval '2 min'`,
    ],
    ['one that failed for good', `status = 'failed', attempts = 3`],
    ['one that was tried more often than it may be', `status = 'failed', attempts = 9`],
    ['a completed one', `status = 'completed', attempts = 1`],
    ['one that completed at its last attempt', `status = 'completed', attempts = 3`],
    ['a cancelled one', `status = 'cancelled'`],
    [
      'a cancelled one of the future',
      `status = 'cancelled', run_at = now() + interval '1 day', attempts = 3`,
    ],
    [
      'one of a status that a hand has made up',
      `status = 'on hold', run_at = now() + interval '1 day'`,
    ],
    [
      'one whose worker is gone, and its lease with it',
      `status = 'processing', attempts = 1, locked_by = 'gone', locked_at = now() - interval '1 h',
       lease_expires_at = now() - interval '1 min'`,
    ],
    [
      'one that was marked as processing by something that knows no leases',
      `status = 'processing', attempts = 3, locked_by = 'original', locked_at = now()`,
    ],
  ])('%s', async (_, state) => {
    const id = await jobSetTo(state);
    const before = await queue.getJob(id);
    expect(await queue.retryJob(id)).toBeUndefined();
    expect(await queue.getJob(id)).toMatchObject({
      status: 'pending',
      locked_at: null,
      locked_by: null,
      pending_reason: null,
      error_history: before?.error_history,
    });
    expect(await runDueJobs(queue)).toEqual([id]);
    expect(await queue.getJob(id)).toMatchObject({ status: 'completed' });
  });
});

test('an exhausted job is granted one more attempt, and no more than that', async () => {
  const id = await jobSetTo(`status = 'failed', attempts = 3`);
  await queue.retryJob(id);
  const processor = queue.createProcessor({
    task: async () => {
      throw new Error('again');
    },
  });
  expect(await processor.start()).toBe(1);
  expect(await queue.getJob(id)).toMatchObject({
    status: 'failed',
    attempts: 4,
    max_attempts: 4,
    next_attempt_at: null,
    error_history: [{ message: 'again', attempt: 4 }],
  });
  expect(await runDueJobs(queue)).toEqual([]);
});

test('the attempts that a job has left are not touched', async () => {
  const id = await jobSetTo(`status = 'failed', attempts = 1, next_attempt_at = now()`);
  await queue.retryJob(id);
  expect(await queue.getJob(id)).toMatchObject({ attempts: 1, max_attempts: 3 });
});

test('a job can be retried twice before it runs, and runs once', async () => {
  const id = await jobSetTo(`status = 'failed', attempts = 3`);
  await queue.retryJob(id);
  await queue.retryJob(id);
  expect(await queue.getJob(id)).toMatchObject({ max_attempts: 4 });
  expect(await runDueJobs(queue)).toEqual([id]);
  expect(await runDueJobs(queue)).toEqual([]);
});

test('a job that runs under a live lease is refused and runs on undisturbed', async () => {
  const id = await jobSetTo('');
  const run = await beginDueJobs(queue);
  const running = await queue.getJob(id);
  await rejection(queue.retryJob(id), 'JOB_RUNNING', new RegExp(`^retryJob: job ${id} is running`));
  expect(await queue.getJob(id)).toEqual(running);
  expect(await run.finish()).toBe(1);
  expect(await queue.getJob(id)).toMatchObject({ status: 'completed', attempts: 1 });
});

test('an id that no job has is no error, and changes nothing', async () => {
  const id = await jobSetTo(`status = 'failed', attempts = 3`);
  const before = await queue.getJob(id);
  expect(await queue.retryJob(id + 1)).toBeUndefined();
  expect(await queue.getJob(id)).toEqual(before);
});

test('the id may be in digits; what is no id is refused', async () => {
  const id = await jobSetTo(`status = 'cancelled'`);
  await queue.retryJob(String(id));
  expect(await queue.getJob(id)).toMatchObject({ status: 'pending' });
  await rejection(queue.retryJob('one'), 'INVALID_ARGUMENT', /^retryJob: id must be/);
});

test('only the job that was named is retried', async () => {
  const [id, other] = [await jobSetTo(`status = 'failed'`), await jobSetTo(`status = 'failed'`)];
  const before = await queue.getJob(other);
  await queue.retryJob(id);
  expect(await queue.getJob(other)).toEqual(before);
});
