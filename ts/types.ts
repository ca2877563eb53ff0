import type { Pool } from 'pg';
import type { DatabaseClient } from './clients/recognise.js';
import type { JobQueueError } from './errors.js';
import type { Storable, Stored } from './payload/types.js';

/** Where a job stands. */
export type JobStatus = 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';

/** The names of the jobs in a payload map. */
export type JobType<PayloadMap> = keyof PayloadMap & string;

/** How to reach Postgres: node-postgres's `PoolConfig`, with node-postgres's meaning and precedence. */
export interface DatabaseConfig {
  /**
   * `postgresql://user:password@host:port/database?sslmode=...`. It wins over the fields below.
   * A key that is present but `undefined` or empty, with no `host` beside it, is refused as a missing
   * environment variable. Parameters that the package does not know have no effect, as in node-postgres: `?schema=jobs`
   * does not choose the schema.
   */
  connectionString?: string | undefined;
  /** Host name, address, or the directory of a Unix socket. Default: `PGHOST`, then `localhost`. */
  host?: string | undefined;
  /** Default: `PGPORT`, then 5432. */
  port?: number | undefined;
  /** Default: `PGDATABASE`, then the user's name. */
  database?: string | undefined;
  /** Default: `PGUSER`, then the name of the operating system's user. */
  user?: string | undefined;
  /** The password, or a function that is asked for it at each new connection. Default: `PGPASSWORD`. */
  password?: string | (() => string | Promise<string>) | undefined;
  /**
   * `true`: TLS, everything verified. `{ rejectUnauthorized: false }`: TLS, nothing verified.
   * `false` or absent: no TLS unless `sslmode` in the connection string, or `PGSSLMODE`, says so.
   */
  ssl?: boolean | SslConfig | undefined;
  /** The most connections that this queue opens. Default 10. */
  max?: number | undefined;
  /**
   * An idle connection is closed after this many milliseconds; 0 = never. Default 10,000. It holds in place of the
   * server's `idle_session_timeout`.
   */
  idleTimeoutMillis?: number | undefined;
  /** The longest wait for a connection, in milliseconds; 0 = no limit but the operating system's. Default 0. */
  connectionTimeoutMillis?: number | undefined;
  /** A connection is replaced when it is this many seconds old; 0 = never. Default 0. */
  maxLifetimeSeconds?: number | undefined;
  /** Postgres's `statement_timeout` in milliseconds; 0 or `false` = the server's setting. */
  statement_timeout?: number | false | undefined;
  /**
   * The longest wait for an answer of Postgres, in milliseconds; 0 = no limit. A call that waits longer rejects, and
   * says that its statement may have been executed. Default 300,000.
   */
  query_timeout?: number | undefined;
  /** Postgres's `lock_timeout` in milliseconds. */
  lock_timeout?: number | undefined;
  /** Postgres's `idle_in_transaction_session_timeout` in milliseconds. */
  idle_in_transaction_session_timeout?: number | undefined;
  /** Command-line options for the server, such as `-c geqo=off`. Default: `PGOPTIONS`. */
  options?: string | undefined;
  /** Shown in `pg_stat_activity`. Default: `PGAPPNAME`, then `fallback_application_name`, then `pg-bg-job-queue`. */
  application_name?: string | undefined;
  fallback_application_name?: string | undefined;
}

/** TLS with a certificate authority or a client certificate of one's own, as PEM text. */
export interface SslConfig {
  /** `false` encrypts without verifying who answers. Default `true`. */
  rejectUnauthorized?: boolean | undefined;
  /** The certificate authority, or several, that must have signed the server's certificate. */
  ca?: string | Buffer | (string | Buffer)[] | undefined;
  /** The client's certificate; needs `key`. */
  cert?: string | Buffer | undefined;
  /** The client's private key; needs `cert`. */
  key?: string | Buffer | undefined;
}

export interface JobQueueConfig {
  databaseConfig: DatabaseConfig;
  /**
   * Log what happens to the console: ids, types, counts and durations, and why a job failed, never a payload.
   * Processors and route handlers do as the queue does unless they say otherwise. Default `false`.
   */
  verbose?: boolean | undefined;
  /** The Postgres schema that holds the tables: that of the CLI's `--schema`. Default `public`. */
  schema?: string | undefined;
  /**
   * `'transaction'` where a pooler in transaction mode stands before Postgres, which gives a client another server
   * connection for each transaction: PgBouncer, Supavisor. `'none'` everywhere else.
   * Default: `'transaction'` for Supabase's and Neon's poolers and where the connection string says
   * `pgbouncer=true`, else `'none'`.
   */
  pooler?: 'transaction' | 'none' | undefined;
}

/** What `addJob` takes: of several types of job, each with the payload of its own. */
export type JobOptions<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = {
  [Each in T]: JobOptionsOf<PayloadMap, Each>;
}[T];

/** What `addJob` takes of one type of job. */
export interface JobOptionsOf<PayloadMap, T extends JobType<PayloadMap>> {
  /** 1 to 255 characters. */
  job_type: T;
  /**
   * Any JSON value. It comes back as `JSON.parse(JSON.stringify(payload))` would, and so do its types: a `Date` is a
   * `string` to handlers and in records. Functions, methods, bigints, symbols and what is made of them, as a `Map`,
   * do not compile. Only the keys of objects come in another order, that of Postgres's `jsonb`: a signature over the
   * text of the payload does not hold for what the handler gets. As Postgres writes it, its text may have 64 MiB: with
   * a space after each comma and colon, and numbers without exponents, so that `1e308` has 309 digits. An array or
   * object may have 8,388,608 members.
   */
  payload: Storable<PayloadMap>[T];
  /** How often the job is tried before it stays `failed`: 1 to 2,147,483,647. Default 3. */
  max_attempts?: number | undefined;
  /** Higher runs first: -2,147,483,648 to 2,147,483,647. Default 0. */
  priority?: number | undefined;
  /** The earliest time to run. `null` or absent: now, by the database's clock. */
  run_at?: Date | null | undefined;
  /**
   * How long a run may take, in milliseconds: 1 to 2,147,483,647. Then its signal aborts and the attempt
   * has failed. `null` or absent: the processor's `defaultTimeout`.
   */
  timeout_ms?: number | null | undefined;
}

/** What `addJob` takes, of any type of job: each with the payload of its own type. */
export type AnyJobOptions<PayloadMap> = JobOptions<PayloadMap>;

/** One failed attempt, or one worker that was lost. */
export interface JobErrorEntry {
  message: string;
  /** ISO 8601, UTC, by the database's clock. */
  timestamp: string;
  /** The error's class. */
  name?: string;
  stack?: string;
  /** Which attempt it was, from 1. */
  attempt?: number;
}

/**
 * A row of `job_queue`. Fields are named as the columns are. Comparing `job_type` narrows `payload`.
 */
export type JobRecord<
  PayloadMap,
  T extends JobType<PayloadMap> = JobType<PayloadMap>,
> = T extends unknown ? JobRow<PayloadMap, T> : never;

/** A row of `job_queue` of one job type. */
export interface JobRow<PayloadMap, T extends JobType<PayloadMap>> {
  id: number;
  job_type: T;
  payload: Stored<PayloadMap>[T];
  status: JobStatus;
  created_at: Date;
  updated_at: Date;
  /** When the job was last claimed; `null` if it never was, or was put back. */
  locked_at: Date | null;
  /** The `workerId` of the processor that last claimed the job. */
  locked_by: string | null;
  /** How many attempts were begun. */
  attempts: number;
  max_attempts: number;
  /**
   * Of a `failed` job: when it is tried again, or `null` if it was given up. Of a `pending` one: if it is set, the job is
   * not run before. Of others it says nothing.
   */
  next_attempt_at: Date | null;
  priority: number;
  run_at: Date | null;
  /** How long a run may take, in milliseconds; `null` leaves it to the processor. */
  timeout_ms: number | null;
  /** When `cancelJob` was called while the job ran; `null` if it was not. */
  cancel_requested_at: Date | null;
  /**
   * Why the job does not go on: no handler was registered for its type, or Postgres refuses to let it be claimed,
   * settled or brought back. `null` otherwise.
   */
  pending_reason: string | null;
  /** Oldest first; the last 100 are kept. */
  error_history: JobErrorEntry[];
}

/** Which pending jobs to cancel; what is absent does not restrict. */
export interface CancelFilters<PayloadMap> {
  job_type?: JobType<PayloadMap> | undefined;
  priority?: number | undefined;
  /** Exactly this time, to the millisecond. */
  run_at?: Date | undefined;
}

/** Its argument is the payload, as JSON gives it back. */
export type JobHandler<PayloadMap, T extends keyof PayloadMap> = (
  payload: Stored<PayloadMap>[T],
) => Promise<void>;

export type JobHandlers<PayloadMap> = {
  [T in keyof PayloadMap]: JobHandler<PayloadMap, T>;
};

export interface ProcessorOptions {
  /** Stored in `locked_by`: 1 to 255 characters. Default `worker-` and random characters. */
  workerId?: string | undefined;
  /** The most jobs claimed at a time: 1 to 10,000. Default 10. */
  batchSize?: number | undefined;
  /** The most handlers running at a time, whatever `batchSize` is: 1 to 10,000. Default 3. */
  concurrency?: number | undefined;
  /** Background only: how long an idle processor waits before it looks again, in milliseconds: 1 to 86,400,000. Default 5,000. */
  pollInterval?: number | undefined;
  /** Called with each error that is not thrown by a handler: of claiming, settling, connecting. Default `console.error`. */
  onError?: ((error: JobQueueError) => void) | undefined;
  /**
   * Called for each attempt of a job that fails, with the error that the handler threw; or with a
   * `JobQueueError`, `TIMEOUT` where the job's time was up, `INVALID_ARGUMENT` where there is no handler for its type. A
   * job that is cancelled or handed back has not failed. The function may be async and is not waited for; an error that
   * it throws is printed. Default: `console.error` with the job's id, type and attempt, and the message and stack of what
   * was thrown.
   */
  onJobFailed?: ((error: unknown, job: JobContext) => void) | undefined;
  /** Log what happens to the console. Default: as the queue does. */
  verbose?: boolean | undefined;
  /**
   * Take only jobs of this type, or of these, each of which must have a handler. Default: all types, also
   * those without a handler, which fail.
   */
  jobType?: string | readonly string[] | undefined;
  /**
   * Delete a job when it completes, in place of keeping it as `completed`: faster, and the table stays
   * small. Jobs that fail or are cancelled are kept. Default `false`.
   */
  removeOnComplete?: boolean | undefined;
  /**
   * How long a claimed job is this processor's own unless extended, in milliseconds: 1,000 to 86,400,000.
   * The engine extends what runs. If the process dies, its jobs are free for others after this time.
   * Default 30,000.
   */
  leaseDuration?: number | undefined;
  /**
   * How long a run may take whose job has no `timeout_ms`, in milliseconds: 1 to 2,147,483,647. Then its
   * signal aborts, the attempt has failed, and its slot is free. Default: no limit.
   */
  defaultTimeout?: number | undefined;
  /**
   * How long a run has to end after `cancelJob` has aborted its signal, in milliseconds: 0 to 2,147,483,647.
   * Then the job is cancelled, and its slot is free. Default 5,000.
   */
  cancelGrace?: number | undefined;
}

/** Its methods are bound: they work apart from it, as in `process.once('SIGTERM', processor.stop)`. */
export interface Processor {
  /**
   * Claims one batch of due jobs, runs it, and waits until every outcome is written.
   * Resolves to the number of jobs run, failed ones included. Rejects if the jobs cannot be claimed.
   */
  start(): Promise<number>;
  /** Runs jobs until stopped. Called while it runs, it changes nothing. */
  startInBackground(): void;
  /** Claims no more. What runs goes on to its end. */
  stop(): void;
  /**
   * Stops and waits until what runs has ended and is settled, for `timeoutMs` milliseconds at the most; then
   * what still runs is handed back. Default 30,000. A handler that calls it is not waited for: its own job
   * is handed back when the others have ended.
   */
  stopAndDrain(timeoutMs?: number): Promise<void>;
  /** Whether it works: true from its start until it is stopped, or until its batch has ended. */
  isRunning(): boolean;
}

/** What a handler can ask of the job it runs: see `currentJob`. Its methods are bound: they work apart from it. */
export interface JobContext {
  readonly id: number;
  readonly job_type: string;
  /** Which attempt this is, from 1. */
  readonly attempts: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly run_at: Date | null;
  /**
   * Aborts when the run should end. The reason is a `JobQueueError`: `TIMEOUT` when its time is up,
   * `CANCELLED` when the job is to be cancelled, `DEADLINE` when the time of its route is up, `LEASE_LOST` when the
   * run no longer owns the job.
   */
  readonly signal: AbortSignal;
  /**
   * Lets this run go on for `ms` milliseconds from now, 1 to 2,147,483,647, where its time is limited and
   * would end sooner. Throws `INVALID_ARGUMENT`.
   */
  extendTimeout(ms: number): void;
  /**
   * Completes the job in the caller's transaction. If that commits, the job is completed, together with
   * everything else that the transaction wrote. If it rolls back, the job goes on. The handler must await the commit or
   * rollback before it ends. `db` must be the client of the transaction itself: on any other connection, the job is
   * completed at once, and stays so if your transaction rolls back. Rejects with `LEASE_LOST` if this run no longer owns
   * the job, and with `INVALID_ARGUMENT` for a pool or a root client, where it can tell.
   */
  completeIn(db: DatabaseClient): Promise<void>;
}

/** Where a method runs its statement when it is not to be the queue's own pool. */
export interface DatabaseOptions {
  /**
   * The caller's own database client: the method's statement commits and rolls back with the transaction that is
   * open on it. A client outside of your transaction is not noticed: there, the statement takes effect at once.
   */
  db?: DatabaseClient | undefined;
}

/** A job's id: a number, or the same in decimal digits, as ids arrive from URLs and JSON bodies. */
export type JobId = number | string;

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
