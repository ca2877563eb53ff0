/** The faults of the crash test, at random. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { type JobQueue, JobQueueError } from '../../index.js';
import type { EmbeddedPostgres } from '../../tools/embedded-postgres.js';
import type { TestProxy } from '../helpers/network.js';
import { until } from '../helpers/until.js';
import type { Crew } from './crew.js';
import { jobFaults } from './faults/jobs.js';
import { serverFaults } from './faults/server.js';
import { workerFaults } from './faults/workers.js';
import { standing, takeDown } from './obstacles.js';
import type { Random } from './random.js';

export interface Fault {
  kind: string;
  hits: 'worker' | 'jobs' | 'server';
  /** Null if the fault did not meet a single worker. */
  worker: string | null;
  at: Date;
  until: Date | null;
}

export interface Chaos {
  faults: Fault[];
  /** The jobs that faults have met themselves. */
  touched: { what: string; id: string }[];
  /** The requests to the queue that disturb running jobs. */
  asked: { what: string; id: string }[];
  /** How often the adders were cut off. */
  adderCuts: number;
  /** Ends it; resolves when nobody is frozen or silent, and nothing is locked, refused or slow. */
  calm(): Promise<void>;
}

interface Means {
  server: EmbeddedPostgres;
  crew: Crew;
  adderProxies: TestProxy[];
  /** Of other programs that use the database, past the proxies. */
  pool: Pool;
  queue: JobQueue;
  random: Random;
  /** The mean time from one fault to the next, in milliseconds. */
  faultEvery: number;
  /** The kinds of faults that are left out. */
  without: Set<string>;
  /** How long it is to go on, at the least. */
  minutes: number;
}

export function unleash(means: Means): Chaos {
  const { server, crew, adderProxies, pool, queue, random, faultEvery, without, minutes } = means;
  const faults: Fault[] = [];
  const touched: Chaos['touched'] = [];
  const asked: Chaos['asked'] = [];
  const chaosEnded = new AbortController();
  const ended = chaosEnded.signal;
  const underWay: Promise<void>[] = [];
  /** Of the faults of the server, one of a kind at a time. */
  const striking = new Set<string>();
  let adderCuts = 0;
  // In the first half alone: it would hide jobs that the workers themselves do not bring back.
  const reclaimsUntil = performance.now() + minutes * 30_000;

  const touch = (what: string, ids: string[]) => {
    touched.push(...ids.map((id) => ({ what, id })));
  };
  const surroundings = { server, crew, pool, random, ended, touch };
  const ofWorkers = workerFaults(surroundings);
  const ofServer = serverFaults(surroundings);
  const ofJobs = jobFaults(surroundings);
  const ofNoWorker = { ...ofServer, ...ofJobs };
  const all = { ...ofWorkers, ...ofNoWorker };
  type Kind = keyof typeof all;
  const known: string[] = [...Object.keys(all), ...standing];
  const unknown = [...without].filter((kind) => !known.includes(kind));
  if (unknown.length > 0) throw new Error(`no such faults: ${unknown}; there are ${known}`);

  async function strike(): Promise<void> {
    const weights = Object.fromEntries(
      Object.entries(all).map(([kind, { weight }]) => [
        kind,
        striking.has(kind) || without.has(kind) ? 0 : weight,
      ]),
    ) as Record<Kind, number>;
    if (Object.values(weights).every((weight) => weight === 0)) return;
    const kind = random.weighted(weights);
    if (kind in ofWorkers) return strikeWorker(kind as keyof typeof ofWorkers);
    const hits = kind in ofServer ? 'server' : 'jobs';
    const fault: Fault = { kind, hits, worker: null, at: new Date(), until: null };
    faults.push(fault);
    if (hits === 'server') striking.add(kind);
    await ofNoWorker[kind as keyof typeof ofNoWorker].strike().catch(passOver);
    striking.delete(kind);
    fault.until = new Date();
  }

  async function strikeWorker(kind: keyof typeof ofWorkers): Promise<void> {
    const working = crew.places.filter(({ works }) => works);
    // A worker has to be left that takes over.
    if (working.length < 2) return;
    const place = random.pick(working);
    const { workerId } = place;
    const fault: Fault = { kind, hits: 'worker', worker: workerId, at: new Date(), until: null };
    faults.push(fault);
    place.works = false;
    await ofWorkers[kind].strike(place).catch(passOver);
    fault.until = new Date();
    // The worker that has taken its place reports that itself.
    if (crew.places.includes(place)) place.works = true;
  }

  /** The requests of people and other programs while jobs run. */
  async function intervene(): Promise<void> {
    const { rows } = await pool.query<{ id: string; job_type: string; status: string }>(
      `select id, job_type, status from job_queue
      where id > (select max(id) from job_queue) - 400 and (status <> 'completed' or id % 40 = 0)
      order by random() limit 10`,
    );
    for (const { id, job_type, status } of rows) {
      // Each of these has to have its effect once, so that none is to be asked for a second time: it
      // may be completed by the time that the retry arrives.
      const canRetry = job_type !== 'transaction';
      const canReclaim = performance.now() < reclaimsUntil;
      const what = random.weighted({
        retry: canRetry ? 4 : 0,
        cancel: 4,
        reclaim: canReclaim ? 1 : 0,
        hurry: status === 'failed' ? 4 : 0,
      });
      asked.push({ what, id });
      if (what === 'retry') await queue.retryJob(id);
      if (what === 'cancel') await queue.cancelJob(id);
      if (what === 'reclaim') await queue.reclaimStuckJobs(0);
      if (what === 'hurry') await pool.query(hurry, [id]);
    }
  }

  async function cutAdders(): Promise<void> {
    const proxy = random.pick(adderProxies);
    adderCuts++;
    if (random.chance(0.7)) {
      proxy.cut();
    } else {
      proxy.silence();
      await delay(random.between(100, 1_000));
      proxy.resume();
      proxy.cut();
    }
  }

  const pause = (mean: number) =>
    delay(random.between(0.3 * mean, 1.7 * mean), undefined, { signal: ended }).catch(() => {});

  async function strikeOnAndOn(): Promise<void> {
    for (;;) {
      await pause(faultEvery);
      if (ended.aborted) return;
      const struck = strike();
      struck.catch(() => {});
      underWay.push(struck);
    }
  }
  async function disturbOnAndOn(disturb: () => Promise<void>, mean: number): Promise<void> {
    for (;;) {
      await pause(mean);
      if (ended.aborted) return;
      await disturb().catch(passOver);
    }
  }
  const loops = [
    strikeOnAndOn(),
    disturbOnAndOn(intervene, 500),
    disturbOnAndOn(cutAdders, 2 * faultEvery),
  ];
  // `calm` reports the errors of these.
  for (const loop of loops) loop.catch(() => {});

  return {
    faults,
    touched,
    asked,
    get adderCuts() {
      return adderCuts;
    },
    async calm() {
      chaosEnded.abort();
      await Promise.all(loops);
      await Promise.all(underWay);
      await takeDown(pool, without);
      await until(() => nobodySleeps(pool), {
        timeoutMs: 30_000,
        what: 'no statement is slowed down any more',
      });
    },
  };
}

/** An update by hand, of a person who does not want to wait for the next attempt. */
const hurry = `
  update job_queue set next_attempt_at = now()
  where id = $1 and status = 'failed' and attempts < max_attempts`;

async function nobodySleeps(pool: Pool): Promise<boolean> {
  const { rowCount } = await pool.query(
    `select from pg_stat_activity where wait_event = 'PgSleep'`,
  );
  return rowCount === 0;
}

/** If one fault meets another, or a disturber, that is no failure of the test. */
function passOver(error: unknown): void {
  if (!isExpected(error)) throw error;
}

/** The job runs just now, the server is away, somebody has locked the table, or a twin waits already. */
function isExpected(error: unknown): boolean {
  const sqlState = /^(57P|40P01|55P03|23505)/;
  if (error instanceof JobQueueError) {
    const { code } = error;
    return (
      code === 'JOB_RUNNING' || code === 'CONNECTION_FAILED' || sqlState.test(error.sqlState ?? '')
    );
  }
  const code = (error as { code?: string }).code ?? '';
  return (
    sqlState.test(code) ||
    /^(ECONN|EPIPE)/.test(code) ||
    /terminated|ended|not queryable/.test(String(error))
  );
}
