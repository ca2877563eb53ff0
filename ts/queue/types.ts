// A job queue, and what its methods take besides jobs.

import type { Pool } from 'pg';
import type { DatabaseClient } from '../clients/recognise.js';
import type {
  AnyJobOptions,
  JobId,
  JobOptions,
  JobRecord,
  JobStatus,
  JobType,
} from '../job/types.js';
import type { JobHandlers, Processor, ProcessorOptions } from '../processor/types.js';

/** Which pending jobs to cancel; what is absent does not restrict. */
export interface CancelFilters<PayloadMap> {
  job_type?: JobType<PayloadMap> | undefined;
  priority?: number | undefined;
  /** Exactly this time, to the millisecond. */
  run_at?: Date | undefined;
}

/** Where a method runs its statement when it is not to be the queue's own pool. */
export interface DatabaseOptions {
  /**
   * The caller's own database client: the method's statement commits and rolls back with the transaction that is
   * open on it. A client outside of your transaction is not noticed: there, the statement takes effect at once.
   */
  db?: DatabaseClient | undefined;
}

/**
 * A job queue. Every method that talks to the database can be given a database client of the caller's
 * (see `DatabaseClient`) as its first argument; it then runs there, in the transaction if one is open.
 * Everything rejects with a `JobQueueError`. Methods are bound: they work apart from the queue.
 */
// biome-ignore lint/suspicious/noExplicitAny: without a payload map, every job type takes any payload
export interface JobQueue<PayloadMap = any> extends AsyncDisposable {
  /**
   * Adds a job and resolves to its id, once the row is committed (with `db`: once it is inserted). Of several types of
   * job, each goes with its own payload alone.
   */
  addJob<T extends JobType<PayloadMap>>(
    job: JobOptions<PayloadMap, T>,
    options?: DatabaseOptions,
  ): Promise<number>;
  addJob<T extends JobType<PayloadMap>>(
    db: DatabaseClient,
    job: JobOptions<PayloadMap, T>,
  ): Promise<number>;

  /**
   * Adds jobs, all or none, and resolves to their ids in the order of `jobs`. Everything that `addJob`
   * says of a job holds for each; their payloads together, as Postgres writes them, may have 256 MiB. Many jobs
   * are made in parts, between which the event loop goes on: leave what is inside of their payloads as it is until
   * this has resolved.
   */
  addJobs(jobs: readonly AnyJobOptions<PayloadMap>[], options?: DatabaseOptions): Promise<number[]>;
  addJobs(db: DatabaseClient, jobs: readonly AnyJobOptions<PayloadMap>[]): Promise<number[]>;

  /**
   * The job, or `null` if there is none of that id.
   *
   * A table can hold a payload that Postgres cannot write: one that was inserted by hand and is far longer as text than
   * in the table, or one that is damaged. The record of such a job has the payload `null`, whatever its type
   * says, so that the job can be found; if that is not enough, its `error_history` is empty and its
   * `pending_reason` is `null` too. On a client of the caller's, where an error ends the transaction, the
   * call rejects with the error of Postgres.
   */
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    id: JobId,
  ): Promise<JobRecord<PayloadMap, T> | null>;
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(
    db: DatabaseClient,
    id: JobId,
  ): Promise<JobRecord<PayloadMap, T> | null>;

  /**
   * Jobs of one status, newest first. `limit` 0 to 2,147,483,647, default 100; `offset` default 0. One that
   * cannot be read whole is given as `getJob` gives it, and keeps no other from being read.
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
   * All jobs, newest first. `limit` 0 to 2,147,483,647, default 100; `offset` default 0. One that cannot be
   * read whole is given as `getJob` gives it, and keeps no other from being read.
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
   * attempts left is granted one more. Does nothing if there is no job of that id. Rejects with `JOB_RUNNING` if a
   * worker holds the job under a live lease.
   */
  retryJob(id: JobId): Promise<void>;
  retryJob(db: DatabaseClient, id: JobId): Promise<void>;

  /**
   * Cancels a job that is pending, or failed with attempts left. Of one that runs, the handler's signal
   * aborts with `CANCELLED`: at once if it runs in this process, within a second if its processor has a
   * session connection to listen on (`max` of 2 or more, no pooler), and else when its lease is next
   * extended. The job becomes cancelled when its handler ends or throws, or after `cancelGrace`. If the handler had
   * completed before it was told, the job is completed. Does nothing to a job that is completed, cancelled or given up,
   * or if there is no job of that id.
   */
  cancelJob(id: JobId): Promise<void>;
  cancelJob(db: DatabaseClient, id: JobId): Promise<void>;

  /**
   * Cancels the pending jobs that match every filter given, and without a filter all pending jobs; resolves to how many.
   * Running jobs, and failed ones that wait for a retry, are not included.
   */
  cancelAllUpcomingJobs(filters?: CancelFilters<PayloadMap>): Promise<number>;
  cancelAllUpcomingJobs(db: DatabaseClient, filters?: CancelFilters<PayloadMap>): Promise<number>;

  /**
   * Puts back jobs that were locked longer ago than this and are not under a live lease; resolves to
   * how many. A job without attempts left becomes `failed`. Only needed for jobs that something other
   * than this package's processors marked as running: the jobs of lost processors come back by themselves.
   * Default 10 minutes; fractions are allowed.
   */
  reclaimStuckJobs(maxProcessingTimeMinutes?: number): Promise<number>;
  reclaimStuckJobs(db: DatabaseClient, maxProcessingTimeMinutes?: number): Promise<number>;

  /**
   * Deletes completed jobs that were last updated longer ago than this; resolves to how many. Failed and cancelled jobs
   * stay. Default 30 days; fractions and 0 are allowed.
   */
  cleanupOldJobs(daysToKeep?: number): Promise<number>;
  cleanupOldJobs(db: DatabaseClient, daysToKeep?: number): Promise<number>;

  /** A processor that runs this queue's jobs with `handlers`. Opens no connection. */
  createProcessor(handlers: JobHandlers<PayloadMap>, options?: ProcessorOptions): Processor;

  /** A node-postgres `Pool` on the same settings, made on the first call. Needs the package `pg`. */
  getPool(): Pool;

  /**
   * Stops this queue's processors, waits up to 30 s for what runs to settle, hands back what still runs, and
   * closes the connections. A handler that calls it is not waited for: its own job is handed back when the
   * others have ended. Calls that Postgres has not answered 5 s after that reject with `CLOSED`, or
   * `CONNECTION_FAILED`; later calls of other methods reject with `CLOSED`.
   */
  close(): Promise<void>;
}
