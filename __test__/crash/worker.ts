/** A worker of the crash test: a process that runs jobs in the background until it is told to stop. */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool, type PoolClient } from 'pg';
import { currentJob, initJobQueue, type JobHandlers, JobQueueError } from '../../index.js';
import { BURIED } from './audit.js';
import type { Payloads } from './jobs.js';
import { type Stall, watchForStalls } from './stalls.js';

export interface WorkerSettings {
  /** Its way to the database. */
  url: string;
  workerId: string;
  leaseDuration: number;
  removeOnComplete: boolean;
  /** Whether handlers that are to hang do so: no fault ends their worker once all is calm. */
  mayHang: boolean;
  /** Whether it is of an older deployment, which has no handler for jobs of the type `failing`. */
  isOld: boolean;
}

export type ToWorker = { stop: { drainMs: number } };
/** It works, a run has begun, it has stood still, and, as its last message, how often `onError` got each code. */
export type FromWorker =
  | { started: true }
  | { begun: { jobId: number; attempt: number; at: number } }
  | { stalled: Stall }
  | { errors: Record<string, number> };

const { url, workerId, leaseDuration, removeOnComplete, mayHang, isOld } = JSON.parse(
  process.argv[2] ?? '',
) as WorkerSettings;

/** The handlers' own way to the database, which breaks as the engine's does. */
const pool = new Pool({
  connectionString: url,
  application_name: workerId,
  max: 5,
  connectionTimeoutMillis: 3_000,
  query_timeout: 3_000,
  // Locks of a lost connection, as by completeIn, last until the server gives it up.
  idle_in_transaction_session_timeout: 3_000,
});
// An idle connection tells the pool that it has ended, one in use the process.
pool.on('error', () => {});
pool.on('connect', (client) => client.on('error', () => {}));

interface Effect {
  jobId: number;
  attempt: number;
  what: 'begun' | 'ended';
}

/** Writes the handlers' work. Records that come while an insert is under way go with the next. */
class Recorder {
  #gathered: Effect[] = [];
  #underWay: Promise<unknown> = Promise.resolve();
  #next: Promise<unknown> | null = null;

  /** Resolves when it is committed. */
  async record(what: Effect['what']): Promise<void> {
    const { id, attempts } = currentJob();
    this.#gathered.push({ jobId: id, attempt: attempts, what });
    this.#next ??= this.#insertAfter(this.#underWay);
    await this.#next;
  }

  async #insertAfter(previous: Promise<unknown>): Promise<void> {
    await previous;
    const effects = this.#gathered;
    this.#gathered = [];
    const inserted = pool.query(
      `insert into effect (job_id, worker, attempt, what)
      select job_id, $1, attempt, what
      from unnest($2::bigint[], $3::int[], $4::text[]) as done (job_id, attempt, what)`,
      [
        workerId,
        effects.map((effect) => effect.jobId),
        effects.map((effect) => effect.attempt),
        effects.map((effect) => effect.what),
      ],
    );
    this.#underWay = inserted.catch(() => {});
    this.#next = null;
    await inserted;
  }
}

const recorder = new Recorder();

async function completeInTransaction({ rollbacks }: Payloads['transaction']): Promise<void> {
  const run = currentJob();
  const client: PoolClient = await pool.connect();
  let broken = true;
  try {
    await client.query('begin');
    await client.query(
      `insert into effect (job_id, worker, attempt, what) values ($1, $2, $3, 'committed')`,
      [run.id, workerId, run.attempts],
    );
    await run.completeIn(client);
    if (run.attempts <= rollbacks) {
      await client.query('rollback');
      broken = false;
      throw new Error('rolled back');
    }
    await client.query('commit');
    broken = false;
  } finally {
    // After any error, the connection is closed, which ends the transaction.
    client.release(broken);
  }
}

async function hasBegunBefore(): Promise<boolean> {
  const { rowCount } = await pool.query(
    `select from effect where job_id = $1 and what = 'begun' limit 1`,
    [currentJob().id],
  );
  return rowCount === 1;
}

const handlers: JobHandlers<Payloads> = {
  async quick() {
    await recorder.record('begun');
    await recorder.record('ended');
  },
  async long({ ms, heedsSignal }) {
    const { signal } = currentJob();
    await recorder.record('begun');
    await delay(ms, undefined, heedsSignal ? { signal } : {});
    await recorder.record('ended');
  },
  async failing({ failures }) {
    await recorder.record('begun');
    if (currentJob().attempts <= failures) throw new Error('as asked');
    await recorder.record('ended');
  },
  async late({ heedsSignal }) {
    const { signal } = currentJob();
    await recorder.record('begun');
    await delay(3_000, undefined, heedsSignal ? { signal } : {});
    await recorder.record('ended');
  },
  async transaction(payload) {
    await recorder.record('begun');
    await completeInTransaction(payload);
    if (payload.throwsAfter) throw new Error('after the commit');
  },
  async twin({ ms }) {
    await recorder.record('begun');
    await delay(ms);
    if (currentJob().attempts === 1) throw new Error('as asked');
    await recorder.record('ended');
  },
  async hanging({ once }) {
    // A handler whose time is limited may hang at any time.
    const ends = once && (!mayHang || (await hasBegunBefore()));
    await recorder.record('begun');
    if (!ends) await new Promise(() => {});
    await recorder.record('ended');
  },
};

/**
 * Reports that the run has begun, on a line that does not break, and names the run in each error: the checker
 * compares that with the owner of the job.
 */
function signed<P>(handler: (payload: P) => Promise<void>) {
  return async (payload: P) => {
    const { id, attempts } = currentJob();
    const begun = { jobId: id, attempt: attempts, at: Date.now() };
    process.send?.({ begun } satisfies FromWorker);
    try {
      await handler(payload);
    } catch (error) {
      throw new Error(`by ${workerId} in attempt ${attempts}: ${error}`);
    }
  };
}

async function main(): Promise<void> {
  const errors: Record<string, number> = {};
  const queue = await initJobQueue<Payloads & Record<typeof BURIED, unknown>>({
    databaseConfig: {
      connectionString: url,
      application_name: workerId,
      connectionTimeoutMillis: 3_000,
    },
  });
  const known = {
    quick: signed(handlers.quick),
    long: signed(handlers.long),
    late: signed(handlers.late),
    transaction: signed(handlers.transaction),
    twin: signed(handlers.twin),
    hanging: signed(handlers.hanging),
    [BURIED]: async () => {},
  };
  const all = { ...known, failing: signed(handlers.failing) };
  const processor = queue.createProcessor(
    // Its jobs are left to other workers.
    isOld ? (known as typeof all) : all,
    {
      workerId,
      leaseDuration,
      batchSize: 20,
      concurrency: 10,
      pollInterval: 200,
      cancelGrace: 300,
      retry: { delay: 300, maxDelay: 2_000 },
      removeOnComplete,
      onError(error) {
        const code = error instanceof JobQueueError ? error.code : String(error);
        errors[code] = (errors[code] ?? 0) + 1;
      },
    },
  );
  process.on('message', async ({ stop }: ToWorker) => {
    await processor.stopAndDrain(stop.drainMs);
    await queue.close();
    process.send?.({ errors } satisfies FromWorker, () => process.exit());
  });
  // The test has ended without a word.
  process.on('disconnect', () => process.exit(1));
  watchForStalls((stalled) => process.send?.({ stalled } satisfies FromWorker));
  processor.startInBackground();
  process.send?.({ started: true } satisfies FromWorker);
}

void main();
