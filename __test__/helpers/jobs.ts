/** What the tests of processors share: an empty table to begin with, queues, and handlers to follow. */
import { beforeEach, onTestFinished } from 'vitest';
import { currentJob, type JobContext, type JobQueue, type JobRow } from '../../index.js';
import { type TestDatabase, useDatabase } from './database.js';
import { openQueue, type QueueOptions } from './queue.js';
import { deferred, until } from './until.js';

/** A row as SQL shows it, with the columns that `getJob` leaves out. */
export interface Row extends JobRow<Record<string, unknown>, string> {
  lease_expires_at: Date | null;
  /** Seconds that the lease still has, by the database's clock. */
  lease_left: number | null;
  run_no: string;
  refusals: number | null;
}

/** A database for the tests of a file, its table empty at the start of each. */
export function useJobs(): Jobs {
  const database = useDatabase();
  beforeEach(() => database.query('truncate job_queue, job_queue_windows'));
  return new Jobs(database);
}

export class Jobs {
  constructor(readonly database: TestDatabase) {}

  /** A queue that is closed when the test is over. */
  async openQueue(options?: QueueOptions): Promise<JobQueue> {
    const queue = await openQueue(this.database, options);
    onTestFinished(() => queue.close());
    return queue;
  }

  /**
   * Adds jobs of the type `job` by SQL, their payloads the numbers from 1. `columns` gives others as
   * SQL expressions, in which `n` is that number.
   */
  async insert(count: number, columns: Record<string, string> = {}): Promise<number[]> {
    const all = { job_type: "'job'", payload: 'to_jsonb(n)', ...columns };
    const rows = await this.database.query<{ id: number }>(
      `insert into job_queue (${Object.keys(all)}) select ${Object.values(all)}
      from generate_series(1, $1) n order by n returning id::int`,
      [count],
    );
    return rows.map((row) => row.id);
  }

  /** Changes rows by hand: `update('attempts = 2', id)`, or all of them. */
  async update(assignments: string, ...ids: number[]): Promise<void> {
    await this.database.query(
      `update job_queue set ${assignments} where id = any($1) or cardinality($1::int[]) = 0`,
      [ids],
    );
  }

  /** Ends the leases of what runs, as if the workers had gone a while ago. */
  async endLeases(...ids: number[]): Promise<void> {
    await this.database.query(
      `update job_queue
      set locked_at = now() - interval '2 minutes', lease_expires_at = now() - interval '1 minute'
      where status = 'processing' and (id = any($1) or cardinality($1::int[]) = 0)`,
      [ids],
    );
  }

  rows(where = 'true', ...values: unknown[]): Promise<Row[]> {
    return this.database.query<Row>(
      `select *, id::int as id, extract(epoch from lease_expires_at - now())::float8 as lease_left
      from job_queue job where ${where} order by job.id`,
      values,
    );
  }

  async row(id: number): Promise<Row> {
    const [row] = await this.rows('id = $1', id);
    if (!row) throw new Error(`there is no job ${id}`);
    return row;
  }

  /** How many jobs there are of each status. */
  async statuses(): Promise<Record<string, number>> {
    const counts = await this.database.query<{ status: string; count: number }>(
      'select status, count(*)::int from job_queue group by status',
    );
    return Object.fromEntries(counts.map(({ status, count }) => [status, count]));
  }

  /** Waits until a connection of that `application_name` has run that many statements more. */
  async statements(applicationName: string, count: number): Promise<void> {
    const seen = new Set<string>();
    const look = async () => {
      const connections = await this.database.query<{ at: string }>(
        'select query_start::text as at from pg_stat_activity where application_name = $1',
        [applicationName],
      );
      for (const { at } of connections) seen.add(at);
      return seen.size > count;
    };
    await until(look, { what: `${applicationName} has run ${count} statements` });
  }

  /** Waits until there is no connection of that `application_name`. */
  async untilDisconnected(applicationName: string): Promise<void> {
    const look = async () => {
      const connections = await this.database.query(
        'select from pg_stat_activity where application_name = $1',
        [applicationName],
      );
      return connections.length === 0;
    };
    await until(look, { what: `${applicationName} is not connected` });
  }

  untilStatus(id: number, status: string): Promise<unknown> {
    const what = `job ${id} is ${status}`;
    return until(async () => (await this.row(id)).status === status, { what });
  }
}

/** What handlers note down as they run, for a test that awaits the n-th note. */
export class Journal<T = unknown> {
  readonly notes: T[] = [];
  #readers: { count: number; resolve: () => void }[] = [];

  note(entry: T): void {
    this.notes.push(entry);
    for (const { count, resolve } of this.#readers) if (this.notes.length >= count) resolve();
  }

  /** Resolves once there are that many notes. */
  async reaches(count: number): Promise<void> {
    const reader = { count, ...deferred() };
    if (this.notes.length < count) {
      this.#readers.push(reader);
      await reader.promise;
    }
  }
}

/** A handler that begins and then waits for the test. */
export function heldHandler() {
  const started = deferred<JobContext>();
  const released = deferred();
  const handler = async () => {
    started.resolve(currentJob());
    await released.promise;
  };
  return {
    handler,
    started: started.promise,
    release: released.resolve,
    fail: released.reject,
  };
}
