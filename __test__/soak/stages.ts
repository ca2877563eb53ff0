/** What the soak test does in its one process, again and again. */
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Client } from 'pg';
import { initJobQueue } from '../../index.js';
import { until } from '../helpers/until.js';
import { type Growth, Memory } from './measure.js';

type Say = (line: string) => void;

/** Adds and runs jobs in one queue. */
export async function runJobs(url: string, count: number, say: Say): Promise<Growth> {
  const memory = new Memory();
  await using queue = await initJobQueue({ databaseConfig: { connectionString: url } });
  let ran = 0;
  const processor = queue.createProcessor(
    { job: async () => void ran++ },
    { concurrency: 50, batchSize: 500, removeOnComplete: true },
  );
  processor.startInBackground();
  const batch = Array.from({ length: 1_000 }, (_, n) => ({
    job_type: 'job',
    payload: { n, text: 'x'.repeat(100) },
  }));
  for (let added = batch.length; added <= count; added += batch.length) {
    await queue.addJobs(batch);
    await until(() => ran >= added - batch.length, { timeoutMs: 120_000 });
    if (added % 5_000 === 0) await memory.sample(added);
    if (added % 100_000 === 0) say(`${added} jobs`);
  }
  await until(() => ran >= count, { timeoutMs: 120_000 });
  await processor.stopAndDrain();
  return memory.growth();
}

/** Opens queues one after the other, has each run jobs in both ways, and closes it. */
export async function openQueues(url: string, count: number, say: Say): Promise<Growth> {
  const memory = new Memory();
  for (let opened = 1; opened <= count; opened++) {
    const queue = await initJobQueue({ databaseConfig: { connectionString: url } });
    const handlers = { job: async () => {} };
    await queue.addJobs([
      { job_type: 'job', payload: 1 },
      { job_type: 'job', payload: 2 },
    ]);
    await queue.createProcessor(handlers, { batchSize: 1 }).start();
    queue.createProcessor(handlers, { removeOnComplete: true }).startInBackground();
    await queue.getAllJobs(1);
    await queue.close();
    if (opened % 20 === 0) await memory.sample(opened);
    if (opened % 500 === 0) say(`${opened} queues`);
  }
  return memory.growth();
}

const thread = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { initJobQueue } = require(workerData.package);
  (async () => {
    const queue = await initJobQueue({ databaseConfig: { connectionString: workerData.url, max: 2 } });
    const held = () => {
      parentPort.postMessage('held');
      return new Promise(() => {});
    };
    const options = { leaseDuration: 1000, concurrency: 1, pollInterval: 20, jobType: 'held' };
    queue.createProcessor({ held }, options).startInBackground();
  })();
`;

/** Starts threads, and terminates each while a handler of it runs. Resolves once all jobs have come back. */
export async function terminateThreads(url: string, count: number, say: Say): Promise<Growth> {
  const memory = new Memory();
  const workerData = { url, package: join(__dirname, '../../index.js') };
  const atATime = 5;
  await using queue = await initJobQueue({ databaseConfig: { connectionString: url } });
  for (let ended = atATime; ended <= count; ended += atATime) {
    const jobs = Array.from({ length: atATime }, (_, payload) => ({
      job_type: 'held',
      payload,
      max_attempts: 1_000,
    }));
    await queue.addJobs(jobs);
    const threads = jobs.map(() => new Worker(thread, { eval: true, workerData }));
    await Promise.all(threads.map((thread) => once(thread, 'message')));
    await Promise.all(threads.map((thread) => thread.terminate()));
    await memory.sample(ended);
    if (ended % 50 === 0) say(`${ended} threads`);
  }
  const processor = queue.createProcessor(
    { held: async () => {} },
    { jobType: 'held', pollInterval: 100 },
  );
  processor.startInBackground();
  // What does not come back is counted at the end.
  const allAreBack = async () => (await heldJobs(url)).length === 0;
  await until(allAreBack, { timeoutMs: 60_000 }).catch(() => {});
  await processor.stopAndDrain();
  return memory.growth();
}

/** The jobs of the threads that have not come back. */
export async function heldJobs(url: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    `select id, status, attempts, run_no, locked_by, lease_expires_at - now() as lease_left
    from job_queue where job_type = 'held' and status <> 'completed'`,
  );
  await client.end();
  return rows;
}
