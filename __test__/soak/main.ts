/**
 * `npm run test:soak`: does for minutes, in one process, what an application does for months, and looks
 * whether the process comes to hold more and more. Prints what it found as JSON; ends with code 1 if
 * something is left behind.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { startPostgres } from '../../tools/embedded-postgres.js';
import { type Holdings, holdings } from './measure.js';
import { heldJobs, openQueues, runJobs, terminateThreads } from './stages.js';

/** Bytes per 1,000 jobs, queues or threads. What leaks one small object each has more. */
const limits = { jobs: 20_000, queues: 1_000_000, threads: 50_000_000 };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      jobs: { type: 'string', default: '500000' },
      queues: { type: 'string', default: '2000' },
      threads: { type: 'string', default: '200' },
    },
  });
  const say = (line: string) => console.error(`${Math.round(performance.now() / 1000)} s: ${line}`);
  await using server = await startPostgres();
  const url = server.url();
  await promisify(execFile)(process.execPath, ['cli.js', 'migrate', '--database', url], {
    cwd: join(__dirname, '../..'),
  });

  // What is loaded and opened once is not counted.
  await runJobs(url, 5_000, say);
  await openQueues(url, 20, say);
  const before = await settledHoldings();
  const jobs = await runJobs(url, Number(values.jobs), say);
  const afterJobs = await settledHoldings();
  say(`jobs: ${JSON.stringify(jobs)}`);
  const queues = await openQueues(url, Number(values.queues), say);
  const afterQueues = await settledHoldings();
  say(`queues: ${JSON.stringify(queues)}`);
  const threads = await terminateThreads(url, Number(values.threads), say);
  const afterThreads = await settledHoldings();
  say(`threads: ${JSON.stringify(threads)}`);
  const lost = await heldJobs(url);

  console.log(
    JSON.stringify(
      { jobs, queues, threads, before, afterJobs, afterQueues, afterThreads, lost },
      null,
      2,
    ),
  );
  const faults = [
    ...(jobs.rssSlope > limits.jobs ? ['memory grows with jobs'] : []),
    ...(queues.rssSlope > limits.queues ? ['memory grows with queues'] : []),
    ...(threads.rssSlope > limits.threads ? ['memory grows with threads'] : []),
    ...moreThan(before, afterJobs, 'jobs'),
    ...moreThan(before, afterQueues, 'queues'),
    ...moreThan(before, afterThreads, 'threads'),
    ...(lost.length > 0 ? [`${lost.length} jobs of threads have not come back`] : []),
  ];
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
}

/** What is held when all that ends by itself has had the time to. */
async function settledHoldings(): Promise<Holdings> {
  await delay(2_000);
  return holdings();
}

function moreThan(before: Holdings, after: Holdings, what: string): string[] {
  const faults: string[] = [];
  for (const [kind, count] of Object.entries(after.resources)) {
    const more = count - (before.resources[kind] ?? 0);
    if (more > 0) faults.push(`${more} of ${kind} are left of ${what}`);
  }
  for (const kind of ['fileDescriptors', 'threads'] as const) {
    const more = (after[kind] ?? 0) - (before[kind] ?? 0);
    if (more > 0) faults.push(`${more} ${kind} are left of ${what}`);
  }
  return faults;
}

void main();
