import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { initJobQueue, JobQueueError } from '../index.js';
import { createDatabase } from './helpers/database.js';
import { heldHandler, useJobs } from './helpers/jobs.js';
import { deferred } from './helpers/until.js';

const jobs = useJobs();

describe('start runs one batch', () => {
  test('and resolves to the number of jobs run, failed ones included, when all are settled', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(3);
    await jobs.insert(2, { job_type: "'bad'" });
    const bad = async () => {
      throw new Error('no');
    };

    const ran = await queue.createProcessor({ job: async () => {}, bad }).start();

    expect(ran).toBe(5);
    expect(await jobs.statuses()).toEqual({ completed: 3, failed: 2 });
  });

  test('of at most batchSize jobs', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(8);
    const processor = queue.createProcessor({ job: async () => {} }, { batchSize: 5 });

    expect(await processor.start()).toBe(5);
    expect(await jobs.statuses()).toEqual({ completed: 5, pending: 3 });
    expect(await processor.start()).toBe(3);
    expect(await processor.start()).toBe(0);
  });

  test('of ten by default', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(11);
    expect(await queue.createProcessor({ job: async () => {} }).start()).toBe(10);
  });

  test('of ten thousand, the most there may be, well within a lease', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(10_000);
    const options = { batchSize: 10_000, concurrency: 10_000 };
    expect(await queue.createProcessor({ job: async () => {} }, options).start()).toBe(10_000);
    expect(await jobs.statuses()).toEqual({ completed: 10_000 });
  }, 8_000);

  test('and leaves what its handlers add to the next', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(2);
    const job = async (payload: unknown) => {
      if (payload !== 'child') await queue.addJob({ job_type: 'job', payload: 'child' });
    };
    const processor = queue.createProcessor({ job });

    expect(await processor.start()).toBe(2);
    expect(await jobs.statuses()).toEqual({ completed: 2, pending: 2 });
    expect(await processor.start()).toBe(2);
  });

  test('and finds nothing to do where nothing is due', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(1, { run_at: "now() + interval '1 hour'" });
    await jobs.insert(1, { status: "'cancelled'" });
    await jobs.insert(1, { status: "'completed'" });
    await jobs.insert(1, { status: "'failed'", attempts: '3' });
    const before = await jobs.rows();
    const handler = vi.fn();

    expect(await queue.createProcessor({ job: handler }).start()).toBe(0);
    expect(handler).not.toHaveBeenCalled();
    const left = ({ lease_left, ...row }: (typeof before)[number]) => row;
    expect((await jobs.rows()).map(left)).toEqual(before.map(left));
  });

  test('also while the application has replaced the timers', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(2);
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    expect(await queue.createProcessor({ job: async () => {} }).start()).toBe(2);
  });

  test('and records who ran the job, when, and how often', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob({ job_type: 'job', payload: null });

    await queue.createProcessor({ job: async () => {} }, { workerId: 'cron-7' }).start();

    const job = await queue.getJob(id);
    expect(job).toMatchObject({ status: 'completed', attempts: 1, locked_by: 'cron-7' });
    expect(job).toMatchObject({ next_attempt_at: null, pending_reason: null, error_history: [] });
    expect(job?.locked_at).toBeInstanceOf(Date);
    expect(job?.updated_at.getTime()).toBeGreaterThanOrEqual(Number(job?.locked_at));
  });

  test('names its worker itself where it is given no name', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    await queue.createProcessor({ job: async () => {} }).start();
    expect((await jobs.row(id)).locked_by).toMatch(/^worker-.{4,}/);
  });
});

describe('concurrency', () => {
  test.each([
    { concurrency: 1, batchSize: 10 },
    { concurrency: 3, batchSize: 10 },
    { concurrency: 10, batchSize: 10 },
    { concurrency: 100, batchSize: 4 },
    { concurrency: 4, batchSize: 30 },
    { concurrency: undefined, batchSize: 10 },
  ])('$concurrency of a batch of $batchSize', async ({ concurrency, batchSize }) => {
    const expected = Math.min(concurrency ?? 3, batchSize);
    const queue = await jobs.openQueue();
    await jobs.insert(batchSize);
    const allInside = deferred();
    let inside = 0;
    let most = 0;
    const job = async () => {
      most = Math.max(most, ++inside);
      // Nobody leaves before as many as there may be are in.
      if (inside === expected) allInside.resolve();
      await allInside.promise;
      await new Promise(setImmediate);
      inside--;
    };

    await queue.createProcessor({ job }, { batchSize, concurrency }).start();

    expect(most).toBe(expected);
  });
});

describe('a processor that runs', () => {
  const refusal = { name: 'JobQueueError', code: 'INVALID_ARGUMENT' };

  test('refuses another start until it has ended', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(2);
    const { handler, started, release } = heldHandler();
    const processor = queue.createProcessor({ job: handler }, { batchSize: 1 });
    const first = processor.start();
    await started;

    expect(processor.isRunning()).toBe(true);
    await expect(processor.start()).rejects.toMatchObject(refusal);
    expect(() => processor.startInBackground()).toThrow(expect.objectContaining(refusal));
    release();

    expect(await first).toBe(1);
    expect(processor.isRunning()).toBe(false);
    expect(await processor.start()).toBe(1);
  });

  test('refuses start while it runs in the background', async () => {
    const queue = await jobs.openQueue();
    const processor = queue.createProcessor({});
    processor.startInBackground();
    await expect(processor.start()).rejects.toMatchObject(refusal);
    await processor.stopAndDrain();
    expect(await processor.start()).toBe(0);
  });

  test('is one of several: two processors run two batches at a time', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(2);
    const both = deferred();
    let inside = 0;
    const job = async () => {
      if (++inside === 2) both.resolve();
      await both.promise;
    };
    const create = () => queue.createProcessor({ job }, { batchSize: 1 });
    expect(await Promise.all([create().start(), create().start()])).toEqual([1, 1]);
  });

  test('claims no more when it is stopped, and gives back what it has not begun', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(5);
    const { handler, started, release } = heldHandler();
    const processor = queue.createProcessor({ job: handler }, { concurrency: 1 });
    const batch = processor.start();
    await started;
    processor.stop();
    release();

    expect(await batch).toBe(1);
    expect(await jobs.statuses()).toEqual({ completed: 1, pending: 4 });
    expect((await jobs.rows()).map((row) => row.attempts)).toEqual([1, 0, 0, 0, 0]);
  });
});

describe('start rejects and tells onError', () => {
  test('when the tables are missing', async () => {
    await using bare = await createDatabase({ migrated: false });
    const queue = await jobs.openQueue({ databaseConfig: { connectionString: bare.url } });
    const onError = vi.fn();

    const failure = await queue
      .createProcessor({}, { onError })
      .start()
      .catch((error) => error);

    expect(failure).toBeInstanceOf(JobQueueError);
    expect(failure).toMatchObject({ code: 'NOT_MIGRATED', sqlState: '42P01' });
    expect(failure.message).toContain('pg-bg-job-queue-cli migrate');
    expect(onError).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ code: 'NOT_MIGRATED' }),
    );
  });

  test('when there is no database', async () => {
    const databaseConfig = { ...jobs.database.config, port: 1 };
    const queue = await initJobQueue({ databaseConfig });
    const onError = vi.fn();
    const processor = queue.createProcessor({}, { onError });

    const failure = await processor.start().catch((error) => error);

    expect(failure).toBeInstanceOf(JobQueueError);
    expect(failure).toMatchObject({ code: 'CONNECTION_FAILED' });
    expect(failure.message).not.toContain(databaseConfig.password);
    expect(onError).toHaveBeenCalledOnce();
    expect(processor.isRunning()).toBe(false);
    await queue.close();
  });
});
