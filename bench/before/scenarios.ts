/** What is measured of each build. Run as a script, this file is the process of one measurement. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { JobQueue, ProcessorOptions } from 'pg-bg-job-queue';
import { settleDown } from '../database.js';
import { jobType, payload } from '../peers/peer.js';
import { insertIntoJobQueue } from '../peers/pg-bg-job-queue.js';

export interface Task {
  scenario: string;
  /** Of the build. */
  folder: string;
  url: string;
}

type Package = typeof import('pg-bg-job-queue');
type Measure = (queue: JobQueue, url: string, build: Package) => Promise<number>;

/** How many of something were done in a second. */
async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (1000 * count) / (performance.now() - begun);
}

const drain =
  (jobs: number, options: ProcessorOptions): Measure =>
  async (queue, url) => {
    await insertIntoJobQueue(url, jobs);
    await settleDown(url);
    let done = 0;
    let end = () => {};
    const handler = async () => {
      if (++done === jobs) end();
    };
    const processor = queue.createProcessor({ [jobType]: handler }, options);
    return rate(jobs, async () => {
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      processor.startInBackground();
      await ended;
      await processor.stopAndDrain();
    });
  };

const add =
  (callers: number): Measure =>
  async (queue) => {
    let added = 0;
    const begun = performance.now();
    const time = () => performance.now() - begun;
    const caller = async () => {
      for (; time() < 4_000; added++) await queue.addJob({ job_type: jobType, payload: payload() });
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return (1000 * added) / time();
  };

const fastest = { batchSize: 1000, concurrency: 2000 };

const scenarios: Record<string, Measure> = {
  drain: drain(150_000, fastest),
  removing: drain(150_000, { ...fastest, removeOnComplete: true }),
  at24: drain(100_000, { batchSize: 500, concurrency: 24 }),
  defaults: drain(30_000, {}),
  async cron(queue, url) {
    await insertIntoJobQueue(url, 30_000);
    await settleDown(url);
    let ran = 0;
    const begun = performance.now();
    while (performance.now() - begun < 5_000) {
      const options = { batchSize: 10, concurrency: 3 };
      ran += await queue.createProcessor({ [jobType]: async () => {} }, options).start();
    }
    return (1000 * ran) / (performance.now() - begun);
  },
  'add-1': add(1),
  'add-10': add(10),
  'add-1000': add(1000),
  'add-many': (queue) => {
    const jobs = Array.from({ length: 50_000 }, () => ({ job_type: jobType, payload: payload() }));
    return rate(3 * jobs.length, async () => {
      for (let time = 0; time < 3; time++) await queue.addJobs(jobs);
    });
  },
  /** The inverse of the median wait for the handler of an idle worker, the job added by another queue. */
  async latency(queue, url, { initJobQueue }) {
    let begin = () => {};
    const processor = queue.createProcessor({ [jobType]: async () => begin() });
    processor.startInBackground();
    const other = await initJobQueue({ databaseConfig: { connectionString: url } });
    const waits: number[] = [];
    for (let time = 0; time < 300; time++) {
      const begun = new Promise<void>((resolve) => {
        begin = resolve;
      });
      const added = performance.now();
      await other.addJob({ job_type: jobType, payload: payload() });
      await begun;
      waits.push(performance.now() - added);
    }
    await processor.stopAndDrain();
    await other.close();
    return 1000 / (waits.toSorted((a, b) => a - b)[150] ?? Number.NaN);
  },
};

export const scenarioNames = Object.keys(scenarios);

async function run({ scenario, folder, url }: Task): Promise<void> {
  const build = createRequire(import.meta.url)(join(folder, 'index.js')) as Package;
  const queue = await build.initJobQueue({ databaseConfig: { connectionString: url } });
  const measure = scenarios[scenario];
  if (!measure) throw new Error(`there is no scenario ${scenario}`);
  process.send?.(await measure(queue, url, build));
  await queue.close();
  process.disconnect();
}

if (process.send && process.argv[2]) void run(JSON.parse(process.argv[2]) as Task);
