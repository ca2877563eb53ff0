/** What the demo does, from the first line to the last. */
import { setTimeout as delay } from 'node:timers/promises';
import type { JobQueue } from 'pg-bg-job-queue';
import { Accident } from './accident.js';
import { assignments, Crew } from './crew.js';
import type { Display } from './display.js';
import { unlessAborted } from './interruption.js';
import {
  firstScheduledMs,
  type JobPayloadMap,
  jobCount,
  jobTypes,
  lastScheduledMs,
  planJobs,
} from './jobs.js';
import { isOver, observe } from './observe.js';
import { Patience, Rate } from './pace.js';
import { progressText } from './panel.js';
import { openPlace, openQueue } from './place.js';
import { report } from './report.js';
import { Retries } from './retries.js';
import { duration, listed, number } from './text.js';

const workers = 3;
const concurrency = 10;
const pollInterval = 250;
const lookIntervalMs = 150;

/** Resolves to whether everything went as it should. */
export async function tellStory(display: Display, signal: AbortSignal): Promise<boolean> {
  await using place = await openPlace(display);
  await place.introduce(signal);
  await place.migrate(signal);

  const options = { concurrency, pollInterval };
  await using crew = new Crew(assignments(workers, place.address, options), display);
  await using queue = await openQueue(place.address);
  display.say(`Starting ${workers} worker processes ...`, 'dim');
  await crew.ready(signal);
  await addJobs(queue, display, signal);

  crew.startWork();
  display.say(
    `${listed(crew.members.map(({ name }) => name))} begin, ${concurrency} jobs at a time each. Idle, they look for jobs every ${pollInterval} ms.`,
  );
  const held = await watch(queue, place.table, crew, display, signal);
  await crew.dismiss(signal);

  const records = await unlessAborted(queue.getAllJobs(2 * jobCount), signal);
  // Awaited here, while the folder still exists.
  return await report({ records, folder: place.address.folder, held }, display);
}

async function addJobs(
  queue: JobQueue<JobPayloadMap>,
  display: Display,
  signal: AbortSignal,
): Promise<void> {
  const jobs = planJobs(new Date());
  const startedAt = performance.now();
  await unlessAborted(Promise.all(jobs.map((job) => queue.addJob(job))), signal);
  const took = performance.now() - startedAt;
  const types = jobTypes.map(
    (type) => `${jobs.filter(({ job_type }) => job_type === type).length} ${type}`,
  );
  const later = jobs.filter(({ run_at }) => run_at).length;
  display.say(
    `${number(jobs.length)} calls of addJob took ${duration(took)}: ${listed(types)} jobs, with priorities 0 to 10, ${later} of them for ${firstScheduledMs / 1000} to ${lastScheduledMs / 1000} s from now.`,
    'bold',
  );
}

/** Follows the jobs to their ends, and sees to the trouble. Resolves to what a killed worker held. */
async function watch(
  queue: JobQueue<JobPayloadMap>,
  table: string,
  crew: Crew,
  display: Display,
  signal: AbortSignal,
): Promise<number[]> {
  const pool = queue.getPool();
  const victim = crew.members[1];
  if (!victim) throw new Error('there is no worker to kill');
  const accident = new Accident(victim, pool, table, display);
  const retries = new Retries(queue, display);
  const rate = new Rate();
  const patience = new Patience();
  try {
    for (;;) {
      crew.check();
      const seen = await unlessAborted(observe(pool, table, crew.members), signal);
      const progress = { ...seen, total: jobCount, rate: rate.of(seen.counts.completed) };
      display.progress(progress);
      patience.check(progressText(progress));
      await unlessAborted(accident.look(seen), signal);
      if (isOver(seen, jobCount)) return accident.held;
      await unlessAborted(retries.look(seen), signal);
      await delay(lookIntervalMs, undefined, { signal });
    }
  } finally {
    display.endProgress();
  }
}
