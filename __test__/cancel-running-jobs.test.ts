import { describe, expect, test } from 'vitest';
import {
  currentJob,
  type DatabaseConfig,
  type JobQueueError,
  type ProcessorOptions,
} from '../index.js';
import { useJobs } from './helpers/jobs.js';
import { deferred } from './helpers/until.js';

const jobs = useJobs();

/** How a handler ends once its signal aborts. */
type Reaction = 'returns' | 'throws' | 'goes on';

/** Runs one job, whose handler waits until it is told to end. */
async function runJob(
  reaction: Reaction,
  options: ProcessorOptions = {},
  databaseConfig: DatabaseConfig = {},
) {
  const queue = await jobs.openQueue({ databaseConfig });
  const [id = 0] = await jobs.insert(1);
  const started = deferred();
  const told = deferred<JobQueueError>();
  const finished = deferred();
  const errors: JobQueueError[] = [];
  const job = async () => {
    const { signal } = currentJob();
    signal.addEventListener('abort', () => told.resolve(signal.reason));
    started.resolve();
    await Promise.race([told.promise, finished.promise]);
    if (reaction === 'goes on') await finished.promise;
    if (reaction === 'throws') throw new Error('given up');
  };
  const processor = queue.createProcessor(
    { job },
    { onError: (error) => errors.push(error), ...options },
  );
  return { id, queue, processor, started, told, finish: finished.resolve, errors };
}

describe('cancelJob of a job that runs', () => {
  test.each<Reaction>(['returns', 'throws'])(
    'cancels it when its handler, told so, %s',
    async (reaction) => {
      const { id, queue, processor, started, told, errors } = await runJob(reaction);
      const ran = processor.start();
      await started.promise;
      expect(await queue.cancelJob(id)).toBeUndefined();

      expect(await told.promise).toMatchObject({
        name: 'JobQueueError',
        code: 'CANCELLED',
        message: `job ${id} is being cancelled`,
      });
      expect(await ran).toBe(1);
      expect(await jobs.row(id)).toMatchObject({
        status: 'cancelled',
        attempts: 1,
        next_attempt_at: null,
        cancel_requested_at: expect.any(Date),
      });
      expect(errors).toEqual([]);
    },
  );

  test('cancels it when its handler does not end in the time that it is given', async () => {
    const run = await runJob('goes on', { cancelGrace: 50 });
    const ran = run.processor.start();
    await run.started.promise;
    await run.queue.cancelJob(run.id);
    expect(await ran).toBe(1);
    expect(await jobs.row(run.id)).toMatchObject({ status: 'cancelled' });
    run.finish();
    expect(run.errors).toEqual([]);
  });

  test('reaches a background processor of another process at once', async () => {
    const run = await runJob('returns');
    run.processor.startInBackground();
    await run.started.promise;
    const elsewhere = await jobs.openQueue();
    await elsewhere.cancelJob(run.id);
    expect(await run.told.promise).toMatchObject({ code: 'CANCELLED' });
    await jobs.untilStatus(run.id, 'cancelled');
  });

  test('reaches a batch of another process that has run for a while', async () => {
    const run = await runJob('returns');
    const ran = run.processor.start();
    await run.started.promise;
    const elsewhere = await jobs.openQueue();
    await elsewhere.cancelJob(run.id);
    await ran;
    expect(await jobs.row(run.id)).toMatchObject({ status: 'cancelled' });
  });

  test('reaches one that has no connection to listen on with the next extension', async () => {
    const run = await runJob('returns', { leaseDuration: 1_000 }, { max: 1 });
    run.processor.startInBackground();
    await run.started.promise;
    const elsewhere = await jobs.openQueue();
    await elsewhere.cancelJob(run.id);
    expect(await run.told.promise).toMatchObject({ code: 'CANCELLED' });
    await jobs.untilStatus(run.id, 'cancelled');
  });

  test('is too late for a handler that has completed it', async () => {
    const run = await runJob('goes on', { leaseDuration: 60_000 }, { max: 1 });
    const ran = run.processor.start();
    await run.started.promise;
    const elsewhere = await jobs.openQueue();
    await elsewhere.cancelJob(run.id);
    run.finish();
    await ran;
    expect(await jobs.row(run.id)).toMatchObject({ status: 'completed' });
  });

  test('keeps one that fails before it is told from being tried again', async () => {
    const run = await runJob('throws', { leaseDuration: 60_000 }, { max: 1 });
    const ran = run.processor.start();
    await run.started.promise;
    const elsewhere = await jobs.openQueue();
    await elsewhere.cancelJob(run.id);
    run.finish();
    await ran;
    expect(await jobs.row(run.id)).toMatchObject({
      status: 'cancelled',
      next_attempt_at: null,
      error_history: [expect.objectContaining({ message: 'given up' })],
    });
  });

  test('keeps one that is handed back from running again', async () => {
    const run = await runJob('goes on', { cancelGrace: 60_000 });
    run.processor.startInBackground();
    await run.started.promise;
    await run.queue.cancelJob(run.id);
    await run.processor.stopAndDrain(0);
    expect(await jobs.row(run.id)).toMatchObject({ status: 'cancelled' });
  });

  test('cancels it at the end of its lease if its worker is lost', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1, {
      status: "'processing'",
      attempts: '1',
      locked_at: 'now()',
      lease_expires_at: `now() + interval '1 minute'`,
    });
    await queue.cancelJob(id);
    expect(await jobs.row(id)).toMatchObject({ status: 'processing' });
    await jobs.endLeases();
    expect(await queue.createProcessor({ job: async () => {} }).start()).toBe(0);
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled', attempts: 1 });
  });

  test('cancels it at once if its lease has ended already', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1, {
      status: "'processing'",
      attempts: '1',
      locked_at: `now() - interval '2 minutes'`,
      lease_expires_at: `now() - interval '1 minute'`,
    });
    await queue.cancelJob(id);
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
  });

  test('is remembered for a job that something else runs, until that is reclaimed', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1, {
      status: "'processing'",
      attempts: '1',
      locked_at: `now() - interval '1 hour'`,
    });
    await queue.cancelJob(id);
    expect(await jobs.row(id)).toMatchObject({ status: 'processing' });
    expect(await queue.reclaimStuckJobs()).toBe(1);
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
  });

  test('is forgotten when the job is retried', async () => {
    const run = await runJob('returns');
    const ran = run.processor.start();
    await run.started.promise;
    await run.queue.cancelJob(run.id);
    await ran;
    await run.queue.retryJob(run.id);
    expect(await run.queue.createProcessor({ job: async () => {} }).start()).toBe(1);
    expect(await jobs.row(run.id)).toMatchObject({
      status: 'completed',
      cancel_requested_at: null,
    });
  });
});
