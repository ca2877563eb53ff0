import { describe, expect, test, vi } from 'vitest';
import { JobQueueError } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { behindPooler } from './helpers/modes.js';
import { deferred } from './helpers/until.js';

const jobs = useJobs();

/** Runs a held job in the background, with another waiting behind it. */
async function runHeldJob(onError?: (error: JobQueueError) => void) {
  const queue = await jobs.openQueue();
  const [running = 0, waiting = 0] = await jobs.insert(2);
  const held = heldHandler();
  const options = { concurrency: 1, pollInterval: 20, onError };
  const processor = queue.createProcessor({ job: held.handler }, options);
  processor.startInBackground();
  const context = await held.started;
  return { queue, processor, running, waiting, context, ...held };
}

describe('stop', () => {
  test('lets what runs go on to its end, and claims no more', async () => {
    const { processor, running, waiting, release } = await runHeldJob();
    expect(processor.isRunning()).toBe(true);

    processor.stop();
    expect(processor.isRunning()).toBe(false);
    release();
    await jobs.untilStatus(running, 'completed');
    await processor.stopAndDrain();

    expect(await jobs.row(waiting)).toMatchObject({ status: 'pending', attempts: 0 });
  });

  test('does nothing where nothing runs', async () => {
    const processor = (await jobs.openQueue()).createProcessor({});
    expect(processor.isRunning()).toBe(false);
    processor.stop();
    await processor.stopAndDrain();
    expect(processor.isRunning()).toBe(false);
    expect(await processor.start()).toBe(0);
  });

  test('right after the start claims nothing', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    const processor = queue.createProcessor({ job: async () => {} });
    processor.startInBackground();
    processor.stop();
    await processor.stopAndDrain();
    expect(await jobs.row(id)).toMatchObject({ status: 'pending', attempts: 0, locked_by: null });
  });

  test('is not the end: the processor can be started again', async () => {
    const { processor, release } = await runHeldJob();
    release();
    await processor.stopAndDrain();
    for (let round = 0; round < 3; round++) {
      const [id = 0] = await jobs.insert(1);
      processor.startInBackground();
      expect(processor.isRunning()).toBe(true);
      await jobs.untilStatus(id, 'completed');
      await processor.stopAndDrain();
      expect(processor.isRunning()).toBe(false);
    }
  });

  test('and a new start while jobs still run: they end, and others follow', async () => {
    const { processor, waiting, release } = await runHeldJob();
    processor.stop();
    processor.startInBackground();
    expect(processor.isRunning()).toBe(true);
    release();
    await jobs.untilStatus(waiting, 'completed');
    await processor.stopAndDrain();
    expect(await jobs.statuses()).toEqual({ completed: 2 });
  });

  test('takes back a start that has not come about yet', async () => {
    const { processor, waiting, release } = await runHeldJob();
    processor.stop();
    processor.startInBackground();
    processor.stop();
    expect(processor.isRunning()).toBe(false);
    release();
    await processor.stopAndDrain();
    expect(await jobs.row(waiting)).toMatchObject({ status: 'pending' });
  });
});

describe('stopAndDrain', () => {
  test('waits until what runs has ended and is settled', async () => {
    const { processor, running, release } = await runHeldJob();
    const ended = vi.fn();
    const draining = processor.stopAndDrain().then(ended);
    await jobs.row(running);
    expect(ended).not.toHaveBeenCalled();
    release();
    await draining;
    expect(await jobs.row(running)).toMatchObject({ status: 'completed', attempts: 1 });
  });

  test('waits for a batch as well', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(4);
    const { handler, started, release } = heldHandler();
    const processor = queue.createProcessor({ job: handler }, { concurrency: 2 });
    const batch = processor.start();
    await started;
    release();
    await processor.stopAndDrain();
    expect(await jobs.statuses()).toEqual({ completed: await batch, pending: 4 - (await batch) });
  });

  test.each([0, 50])('hands back after %i ms what still runs, and tells it so', async (timeout) => {
    const onError = vi.fn();
    const { processor, running, context, release } = await runHeldJob(onError);
    const aborted = deferred();
    context.signal.addEventListener('abort', () => aborted.resolve());

    await processor.stopAndDrain(timeout);
    await aborted.promise;

    expect(context.signal.reason).toBeInstanceOf(JobQueueError);
    expect(context.signal.reason).toMatchObject({ code: 'LEASE_LOST' });
    expect(await jobs.row(running)).toMatchObject({
      status: 'pending',
      attempts: 0,
      locked_at: null,
      locked_by: null,
      lease_expires_at: null,
      error_history: [],
    });

    // What it comes to in the end no longer counts.
    release();
    const queue = await jobs.openQueue();
    const { handler, started, fail } = heldHandler();
    const other = queue.createProcessor({ job: handler }, { batchSize: 1 });
    const batch = other.start();
    expect(await started).toMatchObject({ id: running, attempts: 1 });
    fail(new Error('the second run'));
    await batch;
    expect(await jobs.row(running)).toMatchObject({
      status: 'failed',
      error_history: [{ message: 'the second run' }],
    });
    expect(onError).not.toHaveBeenCalled();
  });

  test('several times at once', async () => {
    const { processor, release } = await runHeldJob();
    const draining = [processor.stopAndDrain(), processor.stopAndDrain(), processor.stopAndDrain()];
    release();
    await Promise.all(draining);
    expect(await jobs.statuses()).toEqual({ completed: 1, pending: 1 });
  });

  test('again with less patience', async () => {
    const { processor, running } = await runHeldJob();
    const patient = processor.stopAndDrain(60_000);
    await processor.stopAndDrain(0);
    await patient;
    expect(await jobs.row(running)).toMatchObject({ status: 'pending', attempts: 0 });
  });
});

describe('close', () => {
  test('lets the running jobs of all processors settle', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(9);
    const running = new Journal();
    const all = deferred();
    const job = async (n: unknown) => {
      running.note(n);
      await all.promise;
    };
    const create = () => queue.createProcessor({ job }, { concurrency: 2, batchSize: 2 });
    const background = [create(), create()];
    for (const processor of background) processor.startInBackground();
    const batch = create().start();
    await running.reaches(6);

    const closed = queue.close();
    all.resolve();
    await closed;

    expect(await batch).toBe(2);
    expect(await jobs.statuses()).toEqual({ completed: 6, pending: 3 });
    expect(background.map((processor) => processor.isRunning())).toEqual([false, false]);
  });

  test('is idempotent, and what comes after is refused', async () => {
    const queue = await jobs.openQueue();
    const processor = queue.createProcessor({}, { onError: () => {} });
    await processor.start();
    await Promise.all([queue.close(), queue.close(), queue[Symbol.asyncDispose]()]);

    const closed = { name: 'JobQueueError', code: 'CLOSED' };
    await expect(queue.getJob(1)).rejects.toMatchObject(closed);
    await expect(processor.start()).rejects.toMatchObject(closed);
    expect(() => processor.startInBackground()).toThrow(expect.objectContaining(closed));
    expect(() => queue.createProcessor({})).toThrow(expect.objectContaining(closed));
    expect(processor.isRunning()).toBe(false);
  });

  const pooled = behindPooler('the connections to the server are the pooler’s, which keeps them');
  test.skipIf(pooled)('leaves no connection behind', async () => {
    const databaseConfig = { application_name: 'closing' };
    const queue = await jobs.openQueue({ databaseConfig });
    await jobs.insert(20);
    await queue.createProcessor({ job: async () => {} }, { concurrency: 20 }).start();
    await queue.close();
    await jobs.untilDisconnected('closing');
  });
});
