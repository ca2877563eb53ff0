// A job queue, and the arguments of its methods besides jobs.

import type { Pool } from 'pg';
import type { DatabaseClient } from '../clients/recognise.js';
import type {
  AnyJobOptions,
  JobId,
  JobOptions,
  JobRecord,
  JobStatus,
  JobType,
  OnConflict,
  UpsertedJob,
} from '../job/types.js';
import type { JobDefinitions, Processor, ProcessorOptions } from '../processor/types.js';

/** Which pending jobs to cancel. A filter that is absent does not restrict. */
export interface CancelFilters<PayloadMap> {
  /** Jobs of this type. */
  job_type?: JobType<PayloadMap> | undefined;
  /** Jobs of this priority: -2,147,483,648 to 2,147,483,647. */
  priority?: number | undefined;
  /** Jobs with exactly this `run_at`, to the millisecond. */
  run_at?: Date | undefined;
}

/** The database client on which a method runs its statement, if not on a connection of the queue. */
export interface DatabaseOptions {
  /**
   * Your own database client. The statement commits or rolls back with the transaction that is open on it. The queue
   * cannot notice a client outside of your transaction: there, the statement takes effect at once.
   */
  db?: DatabaseClient | undefined;
}

/** How a job is added. */
export interface AddOptions extends DatabaseOptions {
  /** What to do if another job holds the key of this one. Default `'keep'`. */
  onConflict?: OnConflict | undefined;
  /**
   * How long after the holder was added `'replace'` and `'postpone'` still move its `run_at`, in milliseconds: 0 to
   * 3,155,760,000,000. So a job that is put off with each call runs in the end. Absent: without limit.
   */
  maxWait?: number | undefined;
}

/**
 * A job queue. Every method that talks to the database also takes your own database client as its first argument (see
 * `DatabaseClient`), and then runs on it, in the transaction if one is open.
 *
 * Methods are bound and can be passed on. They reject with a `JobQueueError`: `INVALID_ARGUMENT` for an argument that
 * is not as described, `NOT_MIGRATED` if the tables are missing, `CONNECTION_FAILED` and `DATABASE_ERROR` if the
 * database cannot be reached or refuses the statement, and `CLOSED` after `close()`.
 */
// biome-ignore lint/suspicious/noExplicitAny: without a payload map, every job type takes any payload
export interface JobQueue<PayloadMap = any> extends AsyncDisposable {
  /**
   * Adds a job. Resolves to its id when the row is committed; with `db`, when it is inserted. Rejects with
   * `INVALID_PAYLOAD` if Postgres could not store the payload.
   *
   * If another job holds the `idempotency_key`, `onConflict` decides, and the id is that of the job that holds the key
   * afterwards. If a transaction that has added the key is open, the call waits for its end.
   */
  addJob<T extends JobType<PayloadMap>>(
    job: JobOptions<PayloadMap, T>,
    options?: AddOptions,
  ): Promise<number>;
  addJob<T extends JobType<PayloadMap>>(
    db: DatabaseClient,
    job: JobOptions<PayloadMap, T>,
  ): Promise<number>;

  /** Adds a job that has an `idempotency_key`, as `addJob` does, and resolves to what has become of it. */
  upsertJob<T extends JobType<PayloadMap>>(
    job: JobOptions<PayloadMap, T> & { idempotency_key: string },
    options?: AddOptions,
  ): Promise<UpsertedJob>;

  /**
   * Adds all of the jobs, or none, except that a job whose `idempotency_key` another holds is not added: its id is that of
   * the other. If two of the jobs have the same key, the first is added. Resolves to the ids, in the order of `jobs`.
   * Each job is checked as `addJob` checks it; together, their payloads may have 256 MiB as Postgres writes them. Many jobs are turned into JSON in
   * parts, and the event loop goes on in between: do not change anything inside the payloads until the promise has
   * settled.
   */
  addJobs(jobs: readonly AnyJobOptions<PayloadMap>[], options?: DatabaseOptions): Promise<number[]>;
  addJobs(db: DatabaseClient, jobs: readonly AnyJobOptions<PayloadMap>[]): Promise<number[]>;

  /**
   * Resolves to the job, or to `null` if no job has that id.
   *
   * A table can hold a payload that Postgres cannot write as text: a damaged one, or one that was inserted by hand
   * and is far longer as text than in the table. The record then has the payload `null`, whatever its type says. If
   * Postgres still cannot write the row, its `error_history` is empty and its `pending_reason` is `null` too. On your
   * own client, where an error ends the transaction, the call rejects with the error of Postgres instead.
   */
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    id: JobId,
  ): Promise<JobRecord<PayloadMap, T> | null>;
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    db: DatabaseClient,
    id: JobId,
  ): Promise<JobRecord<PayloadMap, T> | null>;

  /**
   * Resolves to jobs of one status, newest first. `limit`: 0 to 2,147,483,647, default 100. `offset`: 0 to
   * 2,147,483,647, default 0. A job that cannot be read whole comes as `getJob` gives it, and the others come whole.
   */
  getJobsByStatus<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    status: JobStatus,
    limit?: number,
    offset?: number,
  ): Promise<JobRecord<PayloadMap, T>[]>;
  getJobsByStatus<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    db: DatabaseClient,
    status: JobStatus,
    limit?: number,
    offset?: number,
  ): Promise<JobRecord<PayloadMap, T>[]>;

  /**
   * Resolves to jobs of every status, newest first. `limit`: 0 to 2,147,483,647, default 100. `offset`: 0 to
   * 2,147,483,647, default 0. A job that cannot be read whole comes as `getJob` gives it, and the others come whole.
   */
  getAllJobs<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    limit?: number,
    offset?: number,
  ): Promise<JobRecord<PayloadMap, T>[]>;
  getAllJobs<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    db: DatabaseClient,
    limit?: number,
    offset?: number,
  ): Promise<JobRecord<PayloadMap, T>[]>;

  /**
   * Makes the job pending and due now, whatever its status: a completed or cancelled job runs again. A job without
   * attempts left gets one more. Does nothing if no job has that id. Rejects with `JOB_RUNNING` if a worker holds the
   * job under a live lease, and with `DUPLICATE_JOB` if another job holds its key.
   */
  retryJob(id: JobId): Promise<void>;
  retryJob(db: DatabaseClient, id: JobId): Promise<void>;

  /**
   * Cancels a job that is pending, or that has failed and is tried again. Does nothing if the job is completed,
   * cancelled, or failed for good, or if no job has that id.
   *
   * If the job is running, the handler's signal aborts with `CANCELLED`: at once if it runs in this process, within a
   * second if its processor listens for notifications (it does if `max` is 2 or more and there is no pooler), and
   * otherwise when its lease is next extended. The job is cancelled when its handler ends or throws, or after
   * `cancelGrace`. If the handler completes before its signal aborts, the job is completed.
   */
  cancelJob(id: JobId): Promise<void>;
  cancelJob(db: DatabaseClient, id: JobId): Promise<void>;

  /**
   * Cancels the pending jobs that match every filter, or all pending jobs if there is no filter. Resolves to the number
   * of jobs that it cancelled. Does not cancel running jobs, nor failed jobs that wait for a retry.
   */
  cancelAllUpcomingJobs(filters?: CancelFilters<PayloadMap>): Promise<number>;
  cancelAllUpcomingJobs(db: DatabaseClient, filters?: CancelFilters<PayloadMap>): Promise<number>;

  /**
   * Puts back running jobs that were locked more than this many minutes ago and are not under a live lease. Resolves to
   * the number of jobs that it put back. A job without attempts left becomes `failed`; one with a
   * `dead_letter_job_type` does when a worker meets it next. 0 to 1,000,000,000 minutes, fractions are allowed; default 10.
   *
   * You need it only for jobs that something other than this package's processors has marked as running. The jobs of
   * lost processors come back by themselves.
   */
  reclaimStuckJobs(maxProcessingTimeMinutes?: number): Promise<number>;
  reclaimStuckJobs(db: DatabaseClient, maxProcessingTimeMinutes?: number): Promise<number>;

  /**
   * Deletes completed jobs that were last updated more than this many days ago. Resolves to the number of jobs that it
   * deleted. Failed and cancelled jobs stay. 0 to 1,000,000 days, fractions are allowed; default 30.
   */
  cleanupOldJobs(daysToKeep?: number): Promise<number>;
  cleanupOldJobs(db: DatabaseClient, daysToKeep?: number): Promise<number>;

  /**
   * Creates a processor that runs this queue's jobs with `handlers`. Opens no connection. Throws `INVALID_ARGUMENT`.
   */
  createProcessor(handlers: JobDefinitions<PayloadMap>, options?: ProcessorOptions): Processor;

  /**
   * A node-postgres `Pool` with the queue's settings, created at the first call. Throws `INVALID_CONFIG` if the package
   * `pg` is not installed.
   */
  getPool(): Pool;

  /**
   * Stops this queue's processors, waits up to 30 seconds until the jobs that run have ended, hands back those that
   * still run, and closes the connections. A handler may call it: its own job is handed back when the others have
   * ended.
   *
   * Calls that Postgres has not answered 5 seconds after that reject with `CLOSED` or `CONNECTION_FAILED`. Later calls
   * of other methods reject with `CLOSED`.
   */
  close(): Promise<void>;
}
