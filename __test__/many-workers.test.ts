import { expect, test } from 'vitest';
import { currentJob } from '../index.js';
import { spawnScript } from './helpers/child.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

/** What each of them ran is a note; `options` differ where workers shall get in each other's way. */
async function runAll(count: number, workers: { queues: number; processorsEach: number }) {
  await jobs.insert(count, { priority: 'n % 3' });
  const done = new Journal<number>();
  const job = async () => {
    await new Promise(setImmediate);
    done.note(currentJob().id);
  };
  const processors = [];
  for (let each = 0; each < workers.queues; each++) {
    const queue = await jobs.openQueue();
    for (let one = 0; one < workers.processorsEach; one++) {
      const options = { batchSize: 5 + one, concurrency: 8, pollInterval: 20 };
      processors.push(queue.createProcessor({ job }, options));
    }
  }
  for (const processor of processors) processor.startInBackground();
  await done.reaches(count);
  await Promise.all(processors.map((processor) => processor.stopAndDrain()));
  return done.notes;
}

async function expectEachRunOnce(ran: number[]) {
  expect(new Set(ran).size).toBe(ran.length);
  expect(await jobs.statuses()).toEqual({ completed: ran.length });
  const odd = await jobs.rows("attempts <> 1 or error_history <> '[]'");
  expect(odd).toEqual([]);
}

test('four queues at once run each of 2,000 jobs exactly once', async () => {
  const ran = await runAll(2_000, { queues: 4, processorsEach: 1 });
  await expectEachRunOnce(ran);
});

test('so do several processors of one queue', async () => {
  const ran = await runAll(500, { queues: 1, processorsEach: 5 });
  await expectEachRunOnce(ran);
});

test('so do batches that are started at once, as by several cron calls', async () => {
  const queue = await jobs.openQueue();
  await jobs.insert(300);
  const ran: number[] = [];
  const job = async () => void ran.push(currentJob().id);
  const batch = () => queue.createProcessor({ job }, { batchSize: 30, concurrency: 30 }).start();
  let left = 300;
  while (left > 0) {
    const counts = await Promise.all([batch(), batch(), batch(), batch()]);
    left -= counts.reduce((sum, count) => sum + count);
  }
  expect(left).toBe(0);
  await expectEachRunOnce(ran);
});

test('so do several processes', async () => {
  const count = 1_000;
  await jobs.insert(count);
  const script = `
    import { currentJob, initJobQueue } from 'pg-bg-job-queue';
    const databaseConfig = { connectionString: process.env.DATABASE_URL };
    const queue = await initJobQueue({ databaseConfig });
    const job = async () => console.log('ran ' + currentJob().id);
    const processor = queue.createProcessor({ job }, { concurrency: 10, pollInterval: 50 });
    processor.startInBackground();
    process.stdin.on('end', () => queue.close()).resume();
  `;
  const env = { DATABASE_URL: jobs.database.url };
  const processes = [1, 2, 3].map(() => spawnScript(script, { env }));
  await until(async () => (await jobs.statuses()).completed === count, { timeoutMs: 20_000 });
  for (const { stdin } of processes) stdin.end();
  const results = await Promise.all(processes.map(({ exited }) => exited));

  expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
    results.map(() => ({ code: 0, stderr: '' })),
  );
  const ran = results.flatMap(({ stdout }) => stdout.match(/\d+/g) ?? []).map(Number);
  expect(ran).toHaveLength(count);
  await expectEachRunOnce(ran);
});
