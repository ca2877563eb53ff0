import { expect, test } from 'vitest';
import { runScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** A script whose worker threads run `worker`, each with a queue of its own, while `main` runs. */
const run = (main: string, worker: string) =>
  runScript(
    `
    import { once } from 'node:events';
    import { isMainThread, parentPort, Worker } from 'node:worker_threads';
    import { initJobQueue } from 'pg-bg-job-queue';
    const databaseConfig = { connectionString: process.env.DATABASE_URL, max: 2 };
    const queue = await initJobQueue({ databaseConfig });
    const startThread = async () => {
      const thread = new Worker(new URL(import.meta.url));
      // It may end before the others have started.
      const ended = once(thread, 'exit');
      await once(thread, 'message');
      return Object.assign(thread, { ended });
    };
    const startThreads = (count) => Promise.all(Array.from({ length: count }, startThread));
    if (isMainThread) {
      ${main}
    } else {
      ${worker}
    }
    `,
    { env: { DATABASE_URL: jobs.database.url } },
  );

const quietly = { code: 0, signal: null, stderr: '' };

test('threads that are terminated while their jobs run harm nobody, and the jobs come back', async () => {
  await jobs.insert(20);
  const result = await run(
    `const threads = await startThreads(20);
    await Promise.all(threads.map((thread) => thread.terminate()));
    await queue.addJob({ job_type: 'main', payload: null });
    console.log(await queue.createProcessor({ main: async () => {} }).start());`,
    `const job = () => {
      parentPort.postMessage('running');
      return new Promise(() => {});
    };
    const options = { concurrency: 1, pollInterval: 50, jobType: 'job' };
    queue.createProcessor({ job }, options).startInBackground();`,
  );

  expect(result).toMatchObject({ ...quietly, stdout: '1\n' });
  expect(await jobs.statuses()).toEqual({ completed: 1, processing: 20 });
  await jobs.endLeases();
  const queue = await jobs.openQueue();
  expect(await queue.createProcessor({ job: async () => {} }, { batchSize: 50 }).start()).toBe(20);
  expect(await jobs.rows("status <> 'completed' or attempts > 2")).toEqual([]);
});

test('a thread that was terminated takes no more jobs', async () => {
  const result = await run(
    `const threads = await startThreads(5);
    await Promise.all(threads.map((thread) => thread.terminate()));
    for (let n = 0; n < 20; n++) {
      await queue.addJob({ job_type: 'job', payload: n });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log(await queue.createProcessor({ job: async () => {} }, { batchSize: 50 }).start());`,
    `queue.createProcessor({}, { pollInterval: 5 }).startInBackground();
    await queue.getAllJobs();
    parentPort.postMessage('polling');`,
  );
  expect(result).toMatchObject({ ...quietly, stdout: '20\n' });
  expect(await jobs.statuses()).toEqual({ completed: 20 });
});

test('threads end by themselves when they have nothing more to do', async () => {
  await jobs.insert(30);
  const result = await run(
    `const threads = await startThreads(3);
    await Promise.all(threads.map(({ ended }) => ended));
    console.log('all ended');`,
    `parentPort.postMessage('started');
    const processor = queue.createProcessor({ job: async () => {} });
    await processor.start();
    processor.startInBackground();
    await processor.stopAndDrain();`,
  );
  expect(result).toMatchObject({ ...quietly, stdout: 'all ended\n' });
  // What one thread claims while it stops goes back, perhaps after the others have looked.
  const { completed = 0, pending = 0 } = await jobs.statuses();
  expect(completed + pending).toBe(30);
});

test('process.exit in a handler of a thread ends that thread only', async () => {
  const [id = 0] = await jobs.insert(1);
  const result = await run(
    `const [thread] = await startThreads(1);
    const [code] = await thread.ended;
    await queue.addJob({ job_type: 'main', payload: null });
    const ran = await queue.createProcessor({ main: async () => {} }).start();
    console.log(code, ran);`,
    `const job = async () => {
      parentPort.postMessage('running');
      process.exit(3);
    };
    queue.createProcessor({ job }, { jobType: 'job' }).startInBackground();`,
  );
  expect(result).toMatchObject({ ...quietly, stdout: '3 1\n' });
  expect(await jobs.row(id)).toMatchObject({ status: 'processing', attempts: 1 });
});
