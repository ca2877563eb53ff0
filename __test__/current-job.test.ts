import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { currentJob, type JobContext, JobQueueError } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { deferred } from './helpers/until.js';

const jobs = useJobs();

/** Runs what is due and gives what `look` sees from inside the handler. */
async function lookInside<T>(look: (payload: number) => T | Promise<T>): Promise<T[]> {
  const queue = await jobs.openQueue();
  const seen: T[] = [];
  const job = async (payload: number) => void seen.push(await look(payload));
  await queue.createProcessor({ job }).start();
  expect(await jobs.statuses()).toEqual({ completed: seen.length });
  return seen;
}

describe('currentJob in a handler', () => {
  test('tells the job', async () => {
    const queue = await jobs.openQueue();
    const run_at = new Date(Date.UTC(2021, 5, 1, 12, 0, 0, 123));
    const id = await queue.addJob({
      job_type: 'job',
      payload: 0,
      priority: -7,
      max_attempts: 5,
      run_at,
    });
    await jobs.update('attempts = 2', id);

    const [job] = await lookInside(currentJob);

    expect(job).toMatchObject({
      id,
      job_type: 'job',
      attempts: 3,
      max_attempts: 5,
      priority: -7,
      run_at,
      signal: expect.any(AbortSignal),
    });
    expect(job?.run_at).toBeInstanceOf(Date);
  });

  test('cannot be changed', async () => {
    await jobs.insert(1);
    const [frozen] = await lookInside(() => Object.isFrozen(currentJob()));
    expect(frozen).toBe(true);
  });

  test('has a signal that is not aborted, also when all is over', async () => {
    await jobs.insert(1);
    const [signal] = await lookInside(() => currentJob().signal);
    expect(signal).toBeInstanceOf(AbortSignal);
    expect(signal?.aborted).toBe(false);
  });

  test.each(['null', "'-infinity'"])('has no run_at where the row has %s', async (run_at) => {
    await jobs.insert(1, { run_at });
    expect(await lookInside(currentJob)).toMatchObject([{ run_at: null }]);
  });

  test('is the same across awaits, timers, events and callbacks', async () => {
    const [id = 0] = await jobs.insert(1);
    const seen = await lookInside(async () => {
      const first = currentJob();
      await null;
      await delay(1);
      const inTimer = await new Promise<JobContext>((resolve) =>
        setTimeout(() => resolve(currentJob()), 1),
      );
      const inMicrotask = await Promise.resolve().then(currentJob);
      const inImmediate = await new Promise<JobContext>((resolve) =>
        setImmediate(() => resolve(currentJob())),
      );
      return [first, inTimer, inMicrotask, inImmediate];
    });
    expect(seen.flat().map((job) => job.id)).toEqual([id, id, id, id]);
    expect(new Set(seen.flat()).size).toBe(1);
  });

  test('has methods that work apart from it', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    const job = async () => {
      const { signal, extendTimeout, completeIn } = currentJob();
      extendTimeout(60_000);
      expect(signal.aborted).toBe(false);
      const client = await jobs.database.pool.connect();
      await completeIn(client).finally(() => client.release());
    };
    const onJobFailed = vi.fn();
    await queue.createProcessor({ job }, { onJobFailed }).start();
    expect(onJobFailed).not.toHaveBeenCalled();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
  });

  test('is each one its own where several run at once', async () => {
    const ids = await jobs.insert(3);
    const all = deferred();
    let inside = 0;
    const seen = await lookInside(async (n) => {
      if (++inside === 3) all.resolve();
      await all.promise;
      await delay(5 - n);
      return [n, currentJob().id];
    });
    expect(seen.sort()).toEqual(ids.map((id, at) => [at + 1, id]));
  });

  test('is there for what the handler leaves running', async () => {
    const [id] = await jobs.insert(1);
    const after = deferred<JobContext>();
    const over = deferred();
    await lookInside(() => void over.promise.then(() => after.resolve(currentJob())));
    over.resolve();
    expect(await after.promise).toMatchObject({ id });
  });
});

test('currentJob outside a handler throws', async () => {
  expect(currentJob).toThrow(JobQueueError);
  expect(currentJob).toThrow(
    expect.objectContaining({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('outside a job handler'),
    }),
  );
  await jobs.insert(1);
  await lookInside(currentJob);
  expect(currentJob).toThrow(JobQueueError);
});

test('the methods of a queue and of a processor work apart from them too', async () => {
  const { addJob, addJobs, getJob, createProcessor, close } = await jobs.openQueue();
  const id = await addJob({ job_type: 'job', payload: null });
  await addJobs([{ job_type: 'job', payload: null }]);
  const ran = deferred();
  const { start, startInBackground, isRunning, stopAndDrain, stop } = createProcessor({
    job: async () => ran.resolve(),
  });
  expect(await start()).toBe(2);
  startInBackground();
  expect(isRunning()).toBe(true);
  stop();
  await stopAndDrain();
  await ran.promise;
  expect(await getJob(id)).toMatchObject({ status: 'completed' });
  await close();
});

describe('what an application keeps in its own AsyncLocalStorage', () => {
  const request = new AsyncLocalStorage<string>();

  test('a handler that start runs sees of the caller of start', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(4);
    const seen = new Journal();
    const job = async () => seen.note(request.getStore());
    // Made in one request, used in others: what counts is who calls start.
    const processor = request.run('created', () =>
      queue.createProcessor({ job }, { batchSize: 2, concurrency: 1 }),
    );
    await request.run('first', () => processor.start());
    await request.run('second', () => processor.start());
    expect(seen.notes).toEqual(['first', 'first', 'second', 'second']);
  });

  test('is each its own where two requests run batches at once', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(2);
    const both = deferred();
    const seen = new Journal();
    const job = async () => {
      seen.note(request.getStore());
      if (seen.notes.length === 2) both.resolve();
      await both.promise;
    };
    const create = () => queue.createProcessor({ job }, { batchSize: 1 });
    await Promise.all([
      request.run('a', () => create().start()),
      request.run('b', () => create().start()),
    ]);
    expect(seen.notes.sort()).toEqual(['a', 'b']);
  });

  test('does not leak from the request that started the background, nor from a job to the next', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(3);
    const seen = new Journal();
    const job = async () => {
      seen.note(request.getStore());
      request.enterWith('left behind');
    };
    const processor = request.run('request', () => {
      const made = queue.createProcessor({ job }, { concurrency: 1 });
      made.startInBackground();
      return made;
    });
    await seen.reaches(3);
    await processor.stopAndDrain();
    expect(seen.notes).toEqual([undefined, undefined, undefined]);
  });
});
