/** What goes wrong in the crash test, at random. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { type JobQueue, JobQueueError } from '../../index.js';
import type { EmbeddedPostgres } from '../../tools/embedded-postgres.js';
import type { TestProxy } from '../helpers/network.js';
import type { Crew, Place } from './crew.js';
import type { Random } from './random.js';

export type FaultKind = keyof typeof weights;

/** How often each happens, relative to the others. */
const weights = {
  /** A worker is killed by SIGKILL, and another takes its place. */
  kill: 28,
  /** A worker is stopped by SIGSTOP for longer than its lease, then continued. */
  freeze: 18,
  /** All connections of a worker end, and new ones for a moment too. */
  cut: 14,
  /** Nothing gets through to a worker or from it for longer than its lease; then all arrives late. */
  silence: 14,
  /** The connections of a worker stay open and silent for ever; new ones work. */
  halfOpen: 8,
  /** The server ends the sessions of a worker, its handlers' own included. */
  terminate: 10,
  /** A worker is stopped with too little time to drain, and another takes its place. */
  deploy: 6,
  /** The server crashes, and is started again. */
  restart: 4,
};

export interface Fault {
  kind: FaultKind;
  /** Null where it was done to the server. */
  worker: string | null;
  at: Date;
  until: Date | null;
}

export interface Chaos {
  faults: Fault[];
  /** What was asked of the queue that disturbs what runs, and how often it was done. */
  interventions: Record<string, number>;
  /** How often the adders were cut off. */
  adderCuts: number;
  /** Ends it; resolves when nobody is frozen or silent and the server is up. */
  calm(): Promise<void>;
}

interface Surroundings {
  server: EmbeddedPostgres;
  crew: Crew;
  adderProxies: TestProxy[];
  /** Of the test, past the proxies. */
  pool: Pool;
  queue: JobQueue;
  random: Random;
  /** The mean time from one fault to the next, in milliseconds. */
  faultEvery: number;
}

export function unleash(surroundings: Surroundings): Chaos {
  const { server, crew, adderProxies, pool, queue, random, faultEvery } = surroundings;
  const faults: Fault[] = [];
  const interventions: Record<string, number> = {};
  const ended = new AbortController();
  const underWay: Promise<void>[] = [];
  let adderCuts = 0;
  let restarting = false;

  const doTo: Record<FaultKind, (place: Place) => Promise<void>> = {
    async kill(place) {
      place.process.signal('SIGKILL');
      await place.process.exited;
      crew.replace(place);
    },
    async freeze({ process, leaseDuration }) {
      process.signal('SIGSTOP');
      await delay(random.between(1.2 * leaseDuration, 3 * leaseDuration));
      process.signal('SIGCONT');
    },
    async cut({ proxy }) {
      const until = performance.now() + random.pick([0, 200, 2_500]);
      do {
        proxy.cut();
        await delay(20);
      } while (performance.now() < until);
    },
    async silence({ proxy, leaseDuration }) {
      proxy.silence();
      await delay(random.between(1.2 * leaseDuration, 3 * leaseDuration));
      proxy.resume();
    },
    async halfOpen({ proxy }) {
      proxy.forget();
    },
    async terminate({ workerId }) {
      await pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = $1 and random() < $2`,
        [workerId, random.pick([0.5, 1])],
      );
    },
    async deploy(place) {
      const { process } = place;
      process.send({ stop: { drainMs: random.pick([0, 100, 1_000]) } });
      crew.replace(place);
      await Promise.race([process.exited, delay(15_000)]);
      process.signal('SIGKILL');
    },
    async restart() {
      restarting = true;
      server.kill('SIGQUIT');
      await server.exited;
      await delay(random.pick([0, 500, 2_000]));
      await server.restart();
      restarting = false;
    },
  };

  async function strike(): Promise<void> {
    // A server that is just being started is not to be started once more.
    const kind = random.weighted(restarting ? { ...weights, restart: 0 } : weights);
    const working = crew.places.filter(({ works }) => works);
    // Somebody has to be left who takes over.
    if (working.length < 2) return;
    const place = random.pick(working);
    const fault: Fault = {
      kind,
      worker: kind === 'restart' ? null : place.workerId,
      at: new Date(),
      until: null,
    };
    faults.push(fault);
    place.works = false;
    await doTo[kind](place)
      // The server may be away; what has happened by then is in the books.
      .catch((error) => {
        if (kind !== 'terminate') throw error;
      });
    fault.until = new Date();
    // Who has taken its place says so itself.
    if (crew.places.includes(place)) place.works = true;
  }

  /** What people and other programs do to jobs while they run. */
  async function intervene(): Promise<void> {
    const { rows } = await pool.query<{ id: string; job_type: string }>(
      `select id, job_type from job_queue
      where id > (select max(id) from job_queue) - 400 and (status <> 'completed' or id % 40 = 0)
      order by random() limit 10`,
    );
    for (const { id, job_type } of rows) {
      // Each of these has to have its effect once, so that none is to be asked for a second time: it
      // may be completed by the time that the retry arrives.
      const canRetry = job_type !== 'transaction';
      const what = random.weighted({ retry: canRetry ? 4 : 0, cancel: 4, reclaim: 1 });
      if (what === 'retry') await queue.retryJob(id);
      if (what === 'cancel') await queue.cancelJob(id);
      if (what === 'reclaim') await queue.reclaimStuckJobs(0);
      interventions[what] = (interventions[what] ?? 0) + 1;
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

  const until = ended.signal;
  const pause = (mean: number) =>
    delay(random.between(0.3 * mean, 1.7 * mean), undefined, { signal: until }).catch(() => {});

  async function strikeOnAndOn(): Promise<void> {
    for (;;) {
      await pause(faultEvery);
      if (until.aborted) return;
      const struck = strike();
      struck.catch(() => {});
      underWay.push(struck);
    }
  }
  async function disturbOnAndOn(disturb: () => Promise<void>, mean: number): Promise<void> {
    for (;;) {
      await pause(mean);
      if (until.aborted) return;
      await disturb().catch((error) => {
        if (!isExpected(error)) throw error;
      });
    }
  }
  const loops = [
    strikeOnAndOn(),
    disturbOnAndOn(intervene, 500),
    disturbOnAndOn(cutAdders, 2 * faultEvery),
  ];
  // What went wrong in one is said by calm.
  for (const loop of loops) loop.catch(() => {});

  return {
    faults,
    interventions,
    get adderCuts() {
      return adderCuts;
    },
    async calm() {
      ended.abort();
      await Promise.all(loops);
      await Promise.all(underWay);
    },
  };
}

/** The job runs just now, or the server is away. */
function isExpected(error: unknown): boolean {
  if (error instanceof JobQueueError) {
    const { code, sqlState = '' } = error;
    return code === 'JOB_RUNNING' || code === 'CONNECTION_FAILED' || /^57P/.test(sqlState);
  }
  const code = (error as { code?: string }).code ?? '';
  return /^(57P|ECONN|EPIPE)/.test(code) || /terminated|ended/.test(String(error));
}
