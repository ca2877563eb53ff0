import { expect, test, vi } from 'vitest';
import { runScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

/**
 * A process that lives on while environments in it end, as Electron's does when a window is closed. Each
 * thread has an instance of the package of its own, and runs `worker`; `main` has `startThread`, which
 * resolves when the thread says so.
 */
const run = (main: string, worker: string) =>
  runScript(
    `
    import { once } from 'node:events';
    import { setTimeout as delay } from 'node:timers/promises';
    import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
    import pg from 'pg';
    import { currentJob, initJobQueue } from 'pg-bg-job-queue';
    const connectionString = process.env.DATABASE_URL;
    const queue = await initJobQueue({ databaseConfig: { connectionString, max: 3 } });
    const options = { leaseDuration: 1000, pollInterval: 20, jobType: 'job' };
    if (isMainThread) {
      const startThread = async (workerOptions) => {
        const thread = new Worker(new URL(import.meta.url), workerOptions);
        await once(thread, 'message');
        return thread;
      };
      let ran = 0;
      const main = queue.createProcessor(
        { main: async () => void ran++ },
        { ...options, jobType: 'main' },
      );
      main.startInBackground();
      ${main}
      await queue.addJob({ job_type: 'main', payload: null });
      while (ran === 0) await delay(10);
      await queue.close();
      console.log('the process lives');
    } else {
      ${worker}
    }
    `,
    { env: { DATABASE_URL: jobs.database.url }, timeoutMs: 50_000 },
  );

const quietly = { code: 0, signal: null, stderr: '', stdout: 'the process lives\n' };

vi.setConfig({ testTimeout: 60_000 });

/** Has another process's processor run what comes back, and waits until every job is completed. */
async function untilAllAreCompleted(): Promise<void> {
  const queue = await jobs.openQueue();
  const processor = queue.createProcessor(
    { job: async () => {} },
    { pollInterval: 50, concurrency: 50, batchSize: 100 },
  );
  processor.startInBackground();
  const open = () => jobs.rows("status <> 'completed'");
  await until(async () => (await open()).length === 0, { what: 'every job is completed' });
  await processor.stopAndDrain();
}

test('environments that are freed at any moment, one after the other, leave every job to others', async () => {
  const result = await run(
    `for (let round = 0; round < 4; round++) {
      const payloads = Array.from({ length: 300 }, (_, n) => n);
      await queue.addJobs(
        payloads.map((payload) => ({ job_type: 'job', payload, max_attempts: 100 })),
      );
      const threads = await Promise.all([1, 2, 3].map(() => startThread()));
      await Promise.all(threads.map(async (thread, n) => {
        await delay(round * 10 + n * 3);
        await thread.terminate();
      }));
    }`,
    // Claimed, claimed ahead, run, ended, and settled: there are always jobs at each of these steps.
    `const job = (n) => delay(n % 3);
    queue.createProcessor({ job }, { ...options, concurrency: 5 }).startInBackground();
    await queue.getAllJobs(1);
    parentPort.postMessage('working');`,
  );
  expect(result).toMatchObject(quietly);
  await untilAllAreCompleted();
  expect(await jobs.statuses()).toEqual({ completed: 4 * 300 + 1 });
});

test('a thread that is terminated in the transaction in which it completes its job leaves no lock', async () => {
  const [id = 0] = await jobs.insert(1);
  const result = await run(
    `const thread = await startThread();
    await thread.terminate();`,
    `const job = async () => {
      const client = new pg.Client({ connectionString });
      await client.connect();
      await client.query('begin');
      await currentJob().completeIn(client);
      parentPort.postMessage('completing');
      await new Promise(() => {});
    };
    queue.createProcessor({ job }, options).startInBackground();`,
  );
  expect(result).toMatchObject(quietly);
  await untilAllAreCompleted();
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 2 });
});

test.each([
  ['blocks its event loop', 'for (;;);', 'await thread.terminate();'],
  [
    'ends by an exception elsewhere',
    "setImmediate(() => { throw new Error('unrelated'); });",
    "await once(thread, 'error');",
  ],
  [
    'calls process.exit while others of its handlers run',
    'if (currentJob().id % 2) process.exit(3);',
    "await once(thread, 'exit');",
  ],
  [
    'runs out of memory',
    'for (const all = []; ; ) all.push(new Array(1e5).fill(all));',
    "await once(thread, 'error');",
  ],
])('a thread that %s leaves its jobs to others, and the process alive', async (_, deed, end) => {
  await jobs.insert(4);
  const result = await run(
    `const thread = await startThread({ resourceLimits: { maxOldGenerationSizeMb: 30 } });
    ${end}`,
    `let running = 0;
    const job = async () => {
      if (++running === 3) parentPort.postMessage('running');
      await delay(50);
      ${deed}
      await new Promise(() => {});
    };
    queue.createProcessor({ job }, { ...options, concurrency: 3 }).startInBackground();`,
  );
  expect(result).toMatchObject({ code: 0, signal: null, stdout: quietly.stdout });
  await untilAllAreCompleted();
});
