/** Adds the jobs of the crash test, from a process of its own, and reports the answer for each. */
import { setTimeout as delay } from 'node:timers/promises';
import { initJobQueue } from '../../index.js';
import { type Mixture, type Payloads, randomJob } from './jobs.js';
import { Random } from './random.js';

export interface AdderSettings {
  url: string;
  name: string;
  seed: number;
  /** How many jobs to add, as far as it is told. */
  jobs: number;
  jobsPerSecond: number;
  mixture: Mixture;
}

/** To pause, while too many jobs wait for a worker, or to end before all are added. */
export type ToAdder = { pause: boolean; end: boolean };

export type FromAdder = {
  /** Keys and ids of the jobs whose `addJob` has resolved. */
  added: [key: string, id: number][];
  /** Keys of those that may have been added or not. */
  unsure: string[];
  /** How many were not added, since another job holds their `idempotency_key`. */
  kept: number;
  done: boolean;
};

async function main(): Promise<void> {
  const settings = JSON.parse(process.argv[2] ?? '') as AdderSettings;
  const { url, name, jobs, jobsPerSecond, mixture } = settings;
  const random = new Random(settings.seed);
  const queue = await initJobQueue<Payloads>({
    databaseConfig: {
      connectionString: url,
      application_name: name,
      max: 4,
      connectionTimeoutMillis: 3_000,
      query_timeout: 5_000,
    },
  });
  let paused = false;
  let ended = false;
  process.on('message', ({ pause, end }: ToAdder) => {
    paused = pause;
    ended ||= end;
  });
  process.on('disconnect', () => process.exit(1));

  async function addOne(job: ReturnType<typeof newJob>, report: FromAdder): Promise<void> {
    const { key } = job.payload;
    const { idempotency_key } = job;
    try {
      if (idempotency_key) {
        const { id, outcome } = await queue.upsertJob({ ...job, idempotency_key });
        if (outcome === 'added') report.added.push([key, id]);
        else report.kept++;
      } else {
        report.added.push([key, await queue.addJob(job)]);
      }
    } catch {
      report.unsure.push(key);
    }
  }

  let keys = 0;
  let added = 0;
  const newJob = () => randomJob(random, `${name}-${++keys}`, mixture);
  const keysOf = (batch: ReturnType<typeof newJob>[]) => batch.map((job) => job.payload.key);
  const startedAt = performance.now();
  while (added < jobs && !ended) {
    const due = Math.ceil(((performance.now() - startedAt) / 1000) * jobsPerSecond);
    const count = Math.min(random.between(5, 30), jobs - added);
    if (paused || added >= due) {
      await delay(10);
      continue;
    }
    const report: FromAdder = { added: [], unsure: [], kept: 0, done: false };
    const batch = Array.from({ length: count }, newJob);
    if (random.chance(0.1)) {
      const keysOfBatch = keysOf(batch);
      await queue.addJobs(batch).then(
        (ids) => {
          for (const [at, { payload, idempotency_key }] of batch.entries()) {
            if (idempotency_key) report.unsure.push(payload.key);
            else report.added.push([payload.key, ids[at] as number]);
          }
        },
        () => {
          report.unsure = keysOfBatch;
        },
      );
    } else {
      await Promise.all(batch.map((job) => addOne(job, report)));
    }
    added += report.added.length;
    process.send?.(report);
    // The database is away, most likely.
    if (report.unsure.length > 0) await delay(100);
  }
  await queue.close();
  process.send?.({ added: [], unsure: [], kept: 0, done: true } satisfies FromAdder, () =>
    process.exit(),
  );
}

void main();
