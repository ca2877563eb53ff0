/**
 * The crash test: adders and workers in processes of their own, on a server that keeps what it has
 * committed, while everything dies, freezes and is cut off at random. Then the books are checked.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Pool } from 'pg';
import { initJobQueue } from '../../index.js';
import { startPostgres } from '../../tools/embedded-postgres.js';
import { openProxy, type TestProxy } from '../helpers/network.js';
import { deferred } from '../helpers/until.js';
import type { AdderSettings, FromAdder, ToAdder } from './adder.js';
import { auditTables, MONKEY } from './audit.js';
import { type Chaos, type Fault, unleash } from './chaos.js';
import { check, type Violation } from './check.js';
import { Crew, through } from './crew.js';
import { Process } from './process.js';
import { Random } from './random.js';
import { type Recovery, recovery } from './recovery.js';

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
  /** Adds no more jobs once it is aborted. */
  signal?: AbortSignal;
  /** Told how far it is. */
  onProgress?: (line: string) => void;
}

export interface CrashTestSummary {
  seed: number;
  seconds: number;
  jobs: {
    added: number;
    /** Of these `addJob` has rejected, and so many of them are there. */
    unsure: number;
    unsureAndAdded: number;
    runs: number;
    byStatus: Record<string, number>;
  };
  faults: Record<string, number>;
  interventions: Record<string, number>;
  adderCuts: number;
  /** What `onError` of the workers was told, of those that were not killed. */
  errors: Record<string, number>;
  /** In milliseconds. */
  recovery: Record<string, Recovery>;
  secondsToDrain: number;
  violations: Violation[];
}

/** So many jobs may wait for a worker before the adders are asked to pause. */
const LONGEST_LINE = 150;
const DRAIN_TIMEOUT = 120_000;

export async function runCrashTest(options: CrashTestOptions): Promise<CrashTestSummary> {
  const { seed, minutes, workers = 5, adders = 2, faultEvery = 1_500 } = options;
  const say = options.onProgress ?? (() => {});
  const random = new Random(seed);
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);

  await using server = await startPostgres({ durable: true });
  const url = server.url();
  await promisify(execFile)(process.execPath, ['cli.js', 'migrate', '--database', url], {
    cwd: join(__dirname, '../..'),
  });
  const pool = new Pool({ connectionString: url, application_name: 'runner', max: 4 });
  await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
  pool.on('error', () => {});
  await pool.query(auditTables);
  await using queue = await initJobQueue({
    databaseConfig: { connectionString: url, application_name: MONKEY },
  });

  const told = new Map<string, number | null>();
  await using crew = new Crew(url, random);
  await crew.open(workers);
  await using adding = await startAdders();
  const chaos = unleash({
    server,
    crew,
    adderProxies: adding.proxies,
    pool,
    queue,
    random,
    faultEvery,
  });

  const stopPacing = pace();
  const time = delay(minutes * 60_000, undefined, { signal: options.signal }).catch(() => {});
  await Promise.all([adding.finished, time]);
  await chaos.calm();
  await stopPacing();
  say(`${seconds()} s: calm after ${chaos.faults.length} faults; draining`);
  const secondsToDrain = await drain();
  await crew.dismiss();
  await keepBooks(chaos);
  const violations = await check(pool);
  if (crew.deaths.length > 0) {
    const promise = 'no worker ends by itself';
    violations.push({ promise, count: crew.deaths.length, examples: crew.deaths.slice(0, 3) });
  }

  return {
    seed,
    seconds: seconds(),
    jobs: await countJobs(),
    faults: countFaults(chaos.faults),
    interventions: chaos.interventions,
    adderCuts: chaos.adderCuts,
    errors: crew.errors,
    recovery: await recovery(pool),
    secondsToDrain,
    violations,
  };

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

  /** Runs what is left, failed jobs too, without the minutes between their attempts. */
  async function drain(): Promise<number> {
    const begun = performance.now();
    const hurry = `
      update job_queue set next_attempt_at = now()
      where status = 'failed' and attempts < max_attempts and next_attempt_at > now()`;
    const open = `
      select count(*)::int from job_queue where ready_at is not null or status = 'processing'`;
    for (;;) {
      await pool.query(hurry);
      const { rows } = await pool.query<{ count: number }>(open);
      const took = performance.now() - begun;
      // What is left by then is found by the check.
      if (rows[0]?.count === 0 || took > DRAIN_TIMEOUT) return Math.round(took / 100) / 10;
      await delay(100);
    }
  }

  async function keepBooks({ faults }: Chaos): Promise<void> {
    await pool.query(
      'insert into told select * from unnest($1::text[], $2::bigint[]) as told (key, id)',
      [[...told.keys()], [...told.values()]],
    );
    await pool.query(
      `insert into fault
      select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])`,
      [
        faults.map(({ kind }) => kind),
        faults.map(({ worker }) => worker),
        faults.map(({ at }) => at),
        faults.map(({ until }) => until),
      ],
    );
  }

  async function countJobs(): Promise<CrashTestSummary['jobs']> {
    const statuses = await pool.query<{ status: string; count: number }>(
      'select status, count(*)::int from job_queue group by status order by status',
    );
    const { rows } = await pool.query<{ there: number; runs: number }>(
      `select (
        select count(*)::int from told
        join job_queue job on job.payload ->> 'key' = told.key where told.id is null
      ) as there,
      (select count(*)::int from audit where status = 'processing') as runs`,
    );
    const ids = [...told.values()];
    return {
      added: ids.filter((id) => id !== null).length,
      unsure: ids.filter((id) => id === null).length,
      unsureAndAdded: rows[0]?.there ?? 0,
      runs: rows[0]?.runs ?? 0,
      byStatus: Object.fromEntries(statuses.rows.map(({ status, count }) => [status, count])),
    };
  }
}

function countFaults(faults: Fault[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of faults) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
