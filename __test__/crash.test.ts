import { expect, test } from 'vitest';
import { runScript, spawnScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

const opened = `
  import { currentJob, initJobQueue } from 'pg-bg-job-queue';
  const databaseConfig = { connectionString: process.env.DATABASE_URL };
  const queue = await initJobQueue({ databaseConfig });
`;

const options = () => ({ env: { DATABASE_URL: jobs.database.url } });
const run = (source: string) => runScript(opened + source, options());
const spawn = (source: string) => spawnScript(opened + source, options());

/** Runs all that is due in this process; gives the payloads in the order of the runs. */
async function runTheRest(): Promise<unknown[]> {
  const queue = await jobs.openQueue();
  const ran: unknown[] = [];
  const job = async (payload: unknown) => void ran.push(payload);
  const processor = queue.createProcessor({ job }, { batchSize: 100 });
  while ((await processor.start()) > 0);
  return ran;
}

test('process.exit in a handler ends the process at once; the job comes back when its lease ends', async () => {
  const [id = 0] = await jobs.insert(1);

  const result = await run(`
    await queue.createProcessor({ job: async () => process.exit(7) }).start();
    console.log('not reached');
  `);

  expect(result).toMatchObject({ code: 7, signal: null, stdout: '', stderr: '' });
  const { lease_left, ...row } = await jobs.row(id);
  expect(row).toMatchObject({ status: 'processing', attempts: 1, error_history: [] });
  expect(lease_left).toBeGreaterThan(10);
  expect(await runTheRest()).toEqual([]);
  await jobs.endLeases();
  expect(await runTheRest()).toEqual([1]);
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 2 });
});

test('a job that ends its process each time is not tried for ever', async () => {
  const [id = 0] = await jobs.insert(1, { max_attempts: '2' });
  const deadly = 'await queue.createProcessor({ job: async () => process.exit(1) }).start();';
  for (let attempt = 1; attempt <= 2; attempt++) {
    await run(deadly);
    await jobs.endLeases();
  }
  expect((await run(deadly)).code).toBe(0);
  const { status, error_history } = await jobs.row(id);
  expect(status).toBe('failed');
  expect(error_history.map((entry) => entry.name)).toEqual(['WorkerLost', 'WorkerLost']);
});

test('SIGKILL in the midst of a batch loses no job', async () => {
  await jobs.insert(10, { priority: '-n' });
  await using script = spawn(`
    const job = async (n) => {
      console.log('started ' + n);
      if (n > 4) await new Promise(() => {});
    };
    await queue.createProcessor({ job }, { batchSize: 10, concurrency: 3 }).start();
  `);
  await script.waitForLine(/started 7/);
  await jobs.untilStatus((await jobs.rows('payload = $1', '4'))[0]?.id ?? 0, 'completed');

  script.kill('SIGKILL');
  expect(await script.exited).toMatchObject({ code: null, signal: 'SIGKILL' });

  expect(await jobs.statuses()).toEqual({ completed: 4, processing: 6 });
  expect(await runTheRest()).toEqual([]);
  await jobs.endLeases();
  expect(await runTheRest()).toEqual([5, 6, 7, 8, 9, 10]);
  expect(await jobs.statuses()).toEqual({ completed: 10 });
});

test('SIGTERM, answered with stopAndDrain, lets what runs end and leaves the rest to others', async () => {
  await jobs.insert(5, { priority: '-n' });
  await using script = spawn(`
    const terminated = new Promise((resolve) => process.once('SIGTERM', resolve));
    const job = async (n) => {
      console.log('started ' + n);
      await terminated;
      await new Promise((resolve) => setTimeout(resolve, 200));
      console.log('ended ' + n);
    };
    const processor = queue.createProcessor({ job }, { concurrency: 2 });
    process.on('SIGTERM', async () => {
      await processor.stopAndDrain();
      await queue.close();
      console.log('bye');
    });
    processor.startInBackground();
  `);
  await script.waitForLine(/started 2/);

  script.kill('SIGTERM');

  const { code, stdout, stderr } = await script.exited;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.trim().split('\n')).toEqual([
    'started 1',
    'started 2',
    'ended 1',
    'ended 2',
    'bye',
  ]);
  expect(await jobs.statuses()).toEqual({ completed: 2, pending: 3 });
});

test('an exception elsewhere in the application ends the process as always', async () => {
  const [id = 0] = await jobs.insert(1);
  const result = await run(`
    const job = async () => {
      setTimeout(() => { throw new Error('unrelated'); });
      await new Promise(() => {});
    };
    queue.createProcessor({ job }).startInBackground();
  `);
  expect(result).toMatchObject({ code: 1, signal: null });
  expect(result.stderr).toContain('Error: unrelated');
  expect(await jobs.row(id)).toMatchObject({ status: 'processing', attempts: 1 });
});

test('a handler that blocks the event loop for seconds is settled as any other', async () => {
  await jobs.insert(4);
  const result = await run(`
    const job = async (n) => {
      const end = performance.now() + (n === 1 ? 2_000 : 0);
      while (performance.now() < end);
    };
    console.log(await queue.createProcessor({ job }).start());
  `);
  expect(result).toMatchObject({ code: 0, stdout: '4\n', stderr: '' });
  expect(await jobs.statuses()).toEqual({ completed: 4 });
});
