import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { currentJob, type JobQueueError } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { openProxy } from './helpers/network.js';
import { rejection } from './helpers/queue.js';

/**
 * A connection whose other end is gone without a word: a machine that lost its power, a firewall that has
 * forgotten the connection, a network that was split. Nothing arrives, and nothing fails.
 */
const jobs = useJobs();

const job = { job_type: 'job', payload: null };

async function queueBehindProxy(more: { query_timeout?: number; max?: number } = {}) {
  const proxy = await openProxy(jobs.database.config);
  const limits = { connectionTimeoutMillis: 1_000, query_timeout: 1_000, ...more };
  const databaseConfig = { ...jobs.database.config, ...proxy.address, ...limits };
  return { proxy, queue: await jobs.openQueue({ databaseConfig }) };
}

describe('an operation over a connection that is silent', () => {
  test.each<[string, (queue: Awaited<ReturnType<typeof queueBehindProxy>>['queue']) => unknown]>([
    ['addJob', (queue) => queue.addJob(job)],
    ['addJobs', (queue) => queue.addJobs([job, job])],
    ['addJobs, of many', (queue) => queue.addJobs(Array.from({ length: 1_001 }, () => job))],
    ['getJob', (queue) => queue.getJob(1)],
    ['cancelAllUpcomingJobs', (queue) => queue.cancelAllUpcomingJobs()],
  ])('rejects after query_timeout: %s', async (_, call) => {
    const { proxy, queue } = await queueBehindProxy();
    await using _proxy = proxy;
    await queue.getJob(1);
    proxy.silence();
    await rejection(
      Promise.resolve(call(queue)),
      'CONNECTION_FAILED',
      /not answered within 1000 ms.* may (still )?have (run|been added)/,
    );
  });

  test('leaves the connection, so that the next call works as soon as the network does', async () => {
    const { proxy, queue } = await queueBehindProxy({ max: 1 });
    await using _proxy = proxy;
    await queue.addJob({ ...job, payload: 0 });
    proxy.silence();
    await rejection(queue.addJob({ ...job, payload: 1 }), 'CONNECTION_FAILED');
    proxy.forget();
    await queue.addJob({ ...job, payload: 2 });
    expect((await jobs.rows()).map((row) => row.payload)).toEqual([0, 2]);
  });
});

describe('a processor whose connections are silent', () => {
  test('says so once, and goes on when the network does', async () => {
    const { proxy, queue } = await queueBehindProxy();
    await using _proxy = proxy;
    const ran = new Journal<number>();
    const errors = new Journal<JobQueueError>();
    const processor = queue.createProcessor(
      { job: async () => ran.note(currentJob().id) },
      { leaseDuration: 2_000, pollInterval: 50, onError: (error) => errors.note(error) },
    );
    processor.startInBackground();
    await jobs.insert(1);
    await ran.reaches(1);

    proxy.silence();
    await errors.reaches(1);
    expect(errors.notes[0]).toMatchObject({ code: 'CONNECTION_FAILED' });
    await delay(1_000);
    proxy.forget();
    await jobs.insert(1);
    await ran.reaches(2);
    await processor.stopAndDrain();
    expect(errors.notes).toHaveLength(1);
  });

  test('tells its run in time that the lease is over, and leaves the job to others', async () => {
    const { proxy, queue } = await queueBehindProxy();
    await using _proxy = proxy;
    const { handler, started, release } = heldHandler();
    const options = { leaseDuration: 2_000, pollInterval: 50, onError: () => {} };
    const processor = queue.createProcessor({ job: handler }, options);
    processor.startInBackground();
    const [id = 0] = await jobs.insert(1);
    const { signal } = await started;
    proxy.silence();
    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    }
    expect(signal.reason).toMatchObject({ code: 'LEASE_LOST' });

    const other = await jobs.openQueue();
    const ran: number[] = [];
    const takeOver = other.createProcessor(
      { job: async () => void ran.push(currentJob().id) },
      { pollInterval: 50 },
    );
    takeOver.startInBackground();
    await jobs.untilStatus(id, 'completed');
    await takeOver.stopAndDrain();
    expect(ran).toEqual([id]);
    // What the first says too late changes nothing.
    proxy.forget();
    release();
    await processor.stopAndDrain();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 2 });
  });
});
