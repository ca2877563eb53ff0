/**
 * The crash test: adders and workers in processes of their own, on a server that keeps all
 * committed changes, while everything dies, freezes and is cut off at random. Then the records are checked.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Pool } from 'pg';
import { initJobQueue } from '../../index.js';
import { startPostgres } from '../../tools/embedded-postgres.js';
import { openProxy, type TestProxy } from '../helpers/network.js';
import { findClockLibrary } from '../helpers/programs.js';
import { deferred } from '../helpers/until.js';
import type { AdderSettings, FromAdder, ToAdder } from './adder.js';
import { auditTables, MONKEY, tellTimeBy } from './audit.js';
import { countJobs, type JobCounts, keepBooks, type Told } from './books.js';
import { unleash } from './chaos.js';
import { check, type Violation } from './check.js';
import { Crew, through } from './crew.js';
import { createStranger } from './faults/jobs.js';
import { proveClock } from './faults/server.js';
import { innocentWaits, type Waits } from './innocents.js';
import type { Mixture } from './jobs.js';
import { putUp } from './obstacles.js';
import { Process } from './process.js';
import { Random } from './random.js';
import { type Recovery, recovery } from './recovery.js';
import { type Stall, watchForStalls } from './stalls.js';

export interface CrashTestOptions {
  seed: number;
  /** How long to disturb, at the least. */
  minutes: number;
  /** How many jobs to add, however long that takes. */
  jobs: number;
  /** Default 5. */
  workers?: number;
  /** Default 2. */
  adders?: number;
  /** The mean time from one fault to the next, in milliseconds. Default 1,500. */
  faultEvery?: number;
  /** Kinds of faults and of constant obstacles that are left out: `refuse`, `keep`, `twins`, `hang`. */
  without?: string[];
  /** Adds no more jobs once it is aborted. */
  signal?: AbortSignal;
  /** Told how far it is. */
  onProgress?: (line: string) => void;
}

export interface CrashTestSummary {
  seed: number;
  seconds: number;
  jobs: JobCounts;
  faults: Record<string, number>;
  /** Kinds of faults that could not be tried here. */
  notRun: string[];
  interventions: Record<string, number>;
  adderCuts: number;
  /** How often the machine gave a process no time. */
  stalls: number;
  /** The errors that `onError` of the workers got, from those that were not killed. */
  errors: Record<string, number>;
  /** In milliseconds. */
  recovery: Record<string, Recovery>;
  /** The waits of jobs that no fault has met, from when they were due to their first run, in milliseconds. */
  innocentWaits: Waits;
  secondsToDrain: number;
  violations: Violation[];
}

/** The most jobs that may wait for a worker before the adders are asked to pause. */
const LONGEST_LINE = 150;
const DRAIN_TIMEOUT = 120_000;

export async function runCrashTest(options: CrashTestOptions): Promise<CrashTestSummary> {
  const { seed, minutes, workers = 5, adders = 2, faultEvery = 1_500 } = options;
  const say = options.onProgress ?? (() => {});
  const random = new Random(seed);
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);

  const clockLibrary = findClockLibrary();
  const without = new Set(options.without);
  if (!clockLibrary) without.add('clock');
  // Twins of a name meet, and few enough of them that each has its turn in the end.
  const mixture: Mixture = { names: Math.min(50, Math.ceil(options.jobs / 100)), without: [] };
  if (without.has('twins')) mixture.without.push('twin');
  if (without.has('hang')) mixture.without.push('hanging');

  await using server = await startPostgres({
    durable: true,
    ...(clockLibrary && { clockLibrary }),
  });
  const url = server.url();
  await promisify(execFile)(process.execPath, ['cli.js', 'migrate', '--database', url], {
    cwd: join(__dirname, '../..'),
  });
  const pool = new Pool({ connectionString: url, application_name: 'runner', max: 4 });
  await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
  pool.on('error', () => {});
  // Connections of its own: locks and waits must not keep the test itself from looking.
  const othersPool = new Pool({ connectionString: url, application_name: 'others', max: 30 });
  await using _othersPool = { [Symbol.asyncDispose]: () => othersPool.end() };
  othersPool.on('error', () => {});
  othersPool.on('connect', (client) => client.on('error', () => {}));
  if (clockLibrary) await proveClock(server, pool);
  await pool.query(auditTables);
  if (clockLibrary) await pool.query(tellTimeBy(server.clockFile));
  await pool.query(createStranger(server.password));
  await putUp(pool, random, without);
  await using queue = await initJobQueue({
    databaseConfig: { connectionString: url, application_name: MONKEY },
  });

  const told: Told = new Map();
  await using crew = new Crew(url, random, !without.has('keep'));
  await crew.open(workers);
  await using adding = await startAdders();
  const chaos = unleash({
    server,
    crew,
    adderProxies: adding.proxies,
    pool: othersPool,
    queue,
    random,
    faultEvery,
    without,
    minutes,
  });
  const ownStalls: Stall[] = [];
  const stallWatch = watchForStalls((stall) => ownStalls.push(stall));
  await using _stallWatch = { [Symbol.asyncDispose]: async () => clearInterval(stallWatch) };

  const stopPacing = pace();
  const time = delay(minutes * 60_000, undefined, { signal: options.signal }).catch(() => {});
  await Promise.all([adding.finished, time]);
  await chaos.calm();
  await stopPacing();
  say(`${seconds()} s: calm after ${chaos.faults.length} faults; draining`);
  await crew.relieve();
  const secondsToDrain = await drain();
  await crew.dismiss();
  const { begun, stalls } = crew;
  const { faults, touched, asked } = chaos;
  await keepBooks(pool, { told, begun, stalls, ownStalls, faults, touched, asked });
  const violations = await check(pool);
  const stuck = await keysThatAreStuck();
  if (stuck.length > 0) {
    const promise = 'a key that is held until its job has settled, or is claimed, can be had again';
    violations.push({ promise, count: stuck.length, examples: stuck.slice(0, 3) });
  }
  if (crew.deaths.length > 0) {
    const promise = 'no worker ends by itself';
    violations.push({ promise, count: crew.deaths.length, examples: crew.deaths.slice(0, 3) });
  }
  if (crew.stuck.length > 0) {
    const promise = 'each worker ends when it is told to';
    violations.push({ promise, count: crew.stuck.length, examples: crew.stuck.slice(0, 3) });
  }

  return {
    seed,
    seconds: seconds(),
    jobs: await countJobs(pool, told),
    faults: count(chaos.faults.map(({ kind }) => kind)),
    notRun: clockLibrary ? [] : ['clock: for want of faketime'],
    interventions: count(chaos.asked.map(({ what }) => what)),
    adderCuts: chaos.adderCuts,
    stalls: stalls.length + ownStalls.length,
    errors: crew.errors,
    recovery: await recovery(pool),
    innocentWaits: await innocentWaits(pool),
    secondsToDrain,
    violations,
  };

  /** All is over: so each of the keys is free, but for those that are held for ever. */
  async function keysThatAreStuck(): Promise<unknown[]> {
    const { rows } = await pool.query<{ job_type: 'quick'; idempotency_key: string }>(
      `select distinct job_type, idempotency_key from ledger
      where idempotency_key like 'unsettled-%' or idempotency_key like 'queued-%'`,
    );
    const stuck: unknown[] = [];
    for (const { job_type, idempotency_key } of rows) {
      const payload = { key: `again: ${job_type} ${idempotency_key}` };
      const again = await queue.upsertJob({ job_type, payload, idempotency_key });
      if (again.outcome !== 'added') stuck.push({ job_type, idempotency_key, ...again });
    }
    return stuck;
  }

  async function startAdders() {
    const proxies: TestProxy[] = [];
    const processes: Process<AdderSettings, ToAdder, FromAdder>[] = [];
    const finished: Promise<void>[] = [];
    const { hostname, port } = new URL(url);
    for (let number = 0; number < adders; number++) {
      const proxy = await openProxy({ host: hostname, port: Number(port) });
      proxies.push(proxy);
      const settings: AdderSettings = {
        url: through(url, proxy),
        name: `adder-${number}`,
        seed: random.between(0, 2 ** 31),
        jobs: Math.ceil(options.jobs / adders),
        jobsPerSecond: options.jobs / adders / (minutes * 60),
        mixture,
      };
      const ended = deferred();
      const adder = new Process<AdderSettings, ToAdder, FromAdder>(
        'adder.ts',
        settings,
        ({ added, unsure, done }) => {
          for (const [key, id] of added) told.set(key, id);
          for (const key of unsure) told.set(key, null);
          if (done) ended.resolve();
        },
        (how) => ended.reject(new Error(how)),
      );
      processes.push(adder);
      finished.push(ended.promise);
    }
    return {
      proxies,
      processes,
      finished: Promise.all(finished),
      async [Symbol.asyncDispose]() {
        for (const adder of processes) adder.signal('SIGKILL');
        await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
      },
    };
  }

  /** Keeps the line of waiting jobs short, so that a recovery is not a wait in it. */
  function pace() {
    let stopped = false;
    const loop = (async () => {
      let saidAt = performance.now();
      while (!stopped) {
        await delay(100);
        const waiting = await pool
          .query<{ count: number }>(
            `select count(*)::int from (
              select from job_queue where ready_at < 'infinity' and ready_at <= now()
              limit ${LONGEST_LINE}
            ) due`,
          )
          .catch(() => null);
        const pause = (waiting?.rows[0]?.count ?? LONGEST_LINE) >= LONGEST_LINE;
        for (const adder of adding.processes)
          adder.send({ pause, end: options.signal?.aborted ?? false });
        if (performance.now() - saidAt > 10_000) {
          saidAt = performance.now();
          say(`${seconds()} s: ${told.size} jobs, ${chaos.faults.length} faults`);
        }
      }
    })();
    return async () => {
      stopped = true;
      await loop;
    };
  }

  /** Runs the jobs that are left, failed ones too: the workers' policy has them tried again within seconds. */
  async function drain(): Promise<number> {
    const begun = performance.now();
    const open = `
      select count(*)::int from job_queue where ready_at is not null or status = 'processing'`;
    for (;;) {
      const { rows } = await pool.query<{ count: number }>(open);
      const took = performance.now() - begun;
      // The check finds jobs that are left by then.
      if (rows[0]?.count === 0 || took > DRAIN_TIMEOUT) return Math.round(took / 100) / 10;
      await delay(100);
    }
  }
}

function count(names: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
