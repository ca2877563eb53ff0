import { describe, expect, test, vi } from 'vitest';
import { currentJob, type JobQueue } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { withOneConnection } from './helpers/modes.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

/** Less than the 30 s that running jobs have to end. */
const SOON = 10_000;

async function took(promise: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await promise;
  return performance.now() - start;
}

async function thrownBy(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return `it resolved to ${await call()}`;
  } catch (error) {
    return error;
  }
}

describe('a handler that closes its queue', () => {
  const ways: [string, (queue: JobQueue) => Promise<void>][] = [
    ['close', (queue) => queue.close()],
    ['await using', async (queue) => queue[Symbol.asyncDispose]()],
  ];
  test.each(ways)('by %s is not waited for, and its job is handed back', async (_, close) => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    const reasons: unknown[] = [];
    const ms = new Journal<number>();
    const job = async () => {
      const { signal } = currentJob();
      ms.note(await took(close(queue)));
      reasons.push(signal.reason);
    };
    const onJobFailed = vi.fn();
    queue.createProcessor({ job }, { onJobFailed }).startInBackground();
    await ms.reaches(1);
    expect(ms.notes[0]).toBeLessThan(SOON);
    expect(reasons).toEqual([expect.objectContaining({ code: 'LEASE_LOST' })]);
    expect(await jobs.row(id)).toMatchObject({ status: 'pending', attempts: 0, locked_by: null });
    await expect(queue.getJob(id)).rejects.toMatchObject({ code: 'CLOSED' });
    expect(onJobFailed).not.toHaveBeenCalled();
  });

  test('by a batch is not waited for', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(2);
    const processor = queue.createProcessor({ job: () => queue.close() }, { concurrency: 1 });
    expect(await took(processor.start())).toBeLessThan(SOON);
    expect(await jobs.statuses()).toEqual({ pending: 2 });
  });

  test('before it first awaits waits for those that begin together with it', async () => {
    const queue = await jobs.openQueue();
    const ids = await jobs.insert(4);
    const ended = new Journal<number>();
    const closed = deferred();
    const job = async (n: number) => {
      if (n === 1) return queue.close().then(closed.resolve);
      await new Promise(setImmediate);
      ended.note(n);
    };
    queue.createProcessor({ job }, { concurrency: 4 }).startInBackground();
    await closed.promise;
    expect(ended.notes).toHaveLength(3);
    expect((await jobs.rows()).map(({ id, status }) => [id, status])).toEqual([
      [ids[0], 'pending'],
      ...ids.slice(1).map((id) => [id, 'completed']),
    ]);
  });

  test('waits for the others, which end as they would', async () => {
    const queue = await jobs.openQueue();
    const [closing = 0] = await jobs.insert(1, { job_type: "'closing'" });
    const [here = 0, there = 0] = await jobs.insert(2);
    const held = [heldHandler(), heldHandler()];
    const closed = new Journal<string>();
    const handlers = {
      closing: async () => {
        await Promise.all(held.map(({ started }) => started));
        const promise = queue.close();
        closed.note('called');
        await promise;
        closed.note('closed');
      },
      job: (n: number) => held[n - 1]?.handler() ?? Promise.resolve(),
    };
    const options = { concurrency: 2, batchSize: 2 };
    queue.createProcessor(handlers, options).startInBackground();
    queue.createProcessor(handlers, { ...options, jobType: 'job' }).startInBackground();
    await closed.reaches(1);
    held[0]?.release();
    await jobs.untilStatus(here, 'completed');
    expect(closed.notes).toEqual(['called']);
    held[1]?.release();
    await closed.reaches(2);
    expect(await jobs.row(there)).toMatchObject({ status: 'completed' });
    expect(await jobs.row(closing)).toMatchObject({ status: 'pending', attempts: 0 });
  });

  test('hands back nothing that has ended', async () => {
    const queue = await jobs.openQueue();
    const [closing = 0] = await jobs.insert(1, { job_type: "'closing'" });
    const [other = 0] = await jobs.insert(1);
    const { handler, started, release } = heldHandler();
    const closed = deferred();
    const handlers = {
      closing: async () => {
        await started;
        const promise = queue.close();
        release();
        // The other ends, and this turn of the event loop goes on for a while.
        for (let n = 0; n < 100; n++) await null;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
        await promise;
        closed.resolve();
      },
      job: handler,
    };
    queue.createProcessor(handlers, { concurrency: 2, batchSize: 2 }).startInBackground();
    await closed.promise;
    expect(await jobs.row(other)).toMatchObject({ status: 'completed' });
    expect(await jobs.row(closing)).toMatchObject({ status: 'pending', attempts: 0 });
  });

  test('together with others that do the same is not waited for by them', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(3);
    const running = new Journal();
    const closed = new Journal();
    const job = async () => {
      running.note(1);
      await running.reaches(3);
      await queue.close();
      closed.note(1);
    };
    queue.createProcessor({ job }, { concurrency: 3 }).startInBackground();
    await running.reaches(3);
    expect(await took(closed.reaches(3))).toBeLessThan(SOON);
    expect(await jobs.statuses()).toEqual({ pending: 3 });
  });

  test('after something else has begun to is not waited for either', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(1);
    const go = deferred();
    const { handler, started } = heldHandler();
    const job = async () => {
      void handler();
      await go.promise;
      await queue.close();
    };
    queue.createProcessor({ job }).startInBackground();
    await started;
    const closed = queue.close();
    go.resolve();
    expect(await took(closed)).toBeLessThan(SOON);
    expect(await jobs.statuses()).toEqual({ pending: 1 });
  });

  test('that is another is waited for', async () => {
    const [queue, other] = [await jobs.openQueue(), await jobs.openQueue()];
    const [id = 0] = await jobs.insert(1);
    await queue.createProcessor({ job: () => other.close() }).start();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
  });

  test('does not wait for one whose time is up', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(1, { job_type: "'endless'", timeout_ms: '20' });
    await jobs.insert(1);
    const timedOut = deferred();
    const ms = new Journal<number>();
    const handlers = {
      endless: async () => {
        currentJob().signal.addEventListener('abort', () => timedOut.resolve());
        await new Promise<void>(() => {});
      },
      job: async () => {
        await timedOut.promise;
        ms.note(await took(queue.close()));
      },
    };
    queue.createProcessor(handlers, { onJobFailed: () => {} }).startInBackground();
    await ms.reaches(1);
    expect(ms.notes[0]).toBeLessThan(SOON);
  });
});

test('a handler that waits for stopAndDrain is not waited for', async () => {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1);
  const ms = new Journal<number>();
  const processor = queue.createProcessor({
    job: async () => ms.note(await took(processor.stopAndDrain())),
  });
  processor.startInBackground();
  await ms.reaches(1);
  expect(ms.notes[0]).toBeLessThan(SOON);
  expect(await jobs.row(id)).toMatchObject({ status: 'pending', attempts: 0 });
});

describe('close while calls wait for a lock', () => {
  type Call = (queue: JobQueue, id: number) => Promise<unknown>;
  const job = { job_type: 'job', payload: 1 };

  test.each<[string, Call]>([
    ['cancelJob', (queue, id) => queue.cancelJob(id)],
    ['addJob', (queue) => queue.addJob(job)],
    ['addJobs', (queue) => queue.addJobs(new Array(1_001).fill(job))],
    ['getAllJobs', (queue) => queue.getAllJobs()],
  ])('has an end, and so has %s', async (_, call) => {
    const queue = await jobs.openQueue({ databaseConfig: { application_name: 'closing' } });
    const [id = 0] = await jobs.insert(1);
    const client = await jobs.database.pool.connect();
    try {
      await client.query('begin; lock table job_queue in access exclusive mode');
      const refused = thrownBy(() => call(queue, id));
      // A transaction sees what it saw of others' activity when it first looked.
      const waits = async () => {
        const waiting = await jobs.database.query(
          `select from pg_stat_activity where application_name = 'closing' and wait_event_type = 'Lock'`,
        );
        return waiting.length > 0;
      };
      await until(waits, { what: 'the call waits for the lock' });
      expect(await took(queue.close())).toBeLessThan(SOON);
      expect(await refused).toMatchObject({
        name: 'JobQueueError',
        code: expect.stringMatching(/^(CLOSED|CONNECTION_FAILED)$/),
        stack: expect.stringContaining('close.test.ts'),
      });
    } finally {
      await client.query('rollback');
      client.release();
    }
  });

  const one = withOneConnection('the lock is held on another');
  test.skipIf(one)('waits for those that end soon', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    const client = await jobs.database.pool.connect();
    await client.query('begin');
    await client.query('select from job_queue where id = $1 for update', [id]);
    const cancelled = queue.cancelJob(id);
    const closed = queue.close();
    await client.query('commit');
    client.release();
    await Promise.all([cancelled, closed]);
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
  });
});

test('close tells of outcomes that it leaves behind', async () => {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1);
  const told = new Journal<string>();
  const began = deferred();
  const held = deferred();
  const job = async () => {
    began.resolve();
    await held.promise;
  };
  queue
    .createProcessor(
      { job },
      { onError: ({ message }) => told.note(message), leaseDuration: 2_000 },
    )
    .startInBackground();
  await began.promise;
  const client = await jobs.database.pool.connect();
  try {
    await client.query('begin');
    await client.query('select from job_queue for update');
    held.resolve();
    await queue.close();
    expect(told.notes.join()).toMatch(new RegExp(`job.* ${id}\\b.*could not be written`));
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test('close has an end though somebody keeps a client of getPool', async () => {
  const queue = await jobs.openQueue();
  const client = await queue.getPool().connect();
  expect(await took(queue.close())).toBeLessThan(SOON);
  client.release();
});
