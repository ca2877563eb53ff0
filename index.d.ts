// @ts-ignore: without the types of pg, what getPool() gives is any
import { Pool } from "pg";

//#region ts/clients/client.d.ts
/** Statements take text alone, which every client sends alike. */
type Value = string | null;
//#endregion
//#region ts/clients/drizzle.d.ts
/** A Drizzle database or transaction, over any driver for Postgres. */
interface DrizzleClient {
  execute(query: never): PromiseLike<unknown>;
  transaction(run: never): Promise<unknown>;
  /** Drizzle's databases of other kinds do not have it. */
  refreshMaterializedView(view: never): unknown;
}
//#endregion
//#region ts/clients/knex.d.ts
/** A Knex instance or transaction. */
interface KnexClient {
  raw(sql: string, bindings: readonly Value[]): PromiseLike<unknown>;
  transaction(run: never): Promise<unknown>;
}
//#endregion
//#region ts/clients/kysely.d.ts
/** A Kysely instance or transaction. */
interface KyselyClient {
  executeQuery(query: never): Promise<{
    rows: unknown[];
  }>;
  withoutPlugins(): unknown;
}
//#endregion
//#region ts/clients/node-postgres.d.ts
/**
 * A `Pool`, `PoolClient` or `Client` of node-postgres or of Neon's serverless driver, or what is
 * queried like one.
 */
interface NodePostgresClient {
  query(text: string, values: Value[]): Promise<{
    rows: unknown[];
  }>;
}
//#endregion
//#region ts/clients/postgres-js.d.ts
/** The `sql` of postgres.js: its own, a reserved one, or that of a `begin` or a `savepoint`. */
interface PostgresJsClient {
  unsafe(text: string, values: Value[]): PromiseLike<readonly unknown[]>;
  notify(channel: string, payload: string): PromiseLike<unknown>;
}
//#endregion
//#region ts/clients/prisma.d.ts
/** A Prisma client, extended or not, or the `tx` of its `$transaction`. */
interface PrismaClient {
  $queryRawUnsafe(text: string, ...values: Value[]): PromiseLike<unknown>;
}
//#endregion
//#region ts/clients/recognise.d.ts
/**
 * A database client of the caller's own: a `Pool`, `PoolClient` or `Client` of node-postgres; the
 * client or transaction of Prisma, Drizzle, Kysely, Knex or postgres.js; a `DataSource`, `EntityManager`,
 * `QueryRunner` or `Repository` of TypeORM; or anything else with `query(text, values)` that resolves to `{ rows }`.
 */
type DatabaseClient = NodePostgresClient | PrismaClient | DrizzleClient | KyselyClient | KnexClient | PostgresJsClient;
//#endregion
//#region ts/config/types.d.ts
/** How to reach Postgres: node-postgres's `PoolConfig`, with node-postgres's meaning and precedence. */
interface DatabaseConfig {
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
interface SslConfig {
  /** `false` encrypts without verifying who answers. Default `true`. */
  rejectUnauthorized?: boolean | undefined;
  /** The certificate authority, or several, that must have signed the server's certificate. */
  ca?: string | Buffer | (string | Buffer)[] | undefined;
  /** The client's certificate; needs `key`. */
  cert?: string | Buffer | undefined;
  /** The client's private key; needs `cert`. */
  key?: string | Buffer | undefined;
}
interface JobQueueConfig {
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
//#endregion
//#region ts/errors/job-queue-error.d.ts
/** What went wrong, as a stable string to compare with. */
type JobQueueErrorCode = 'INVALID_CONFIG' | 'INVALID_ARGUMENT' | 'INVALID_PAYLOAD' | 'NOT_MIGRATED' | 'CONNECTION_FAILED' | 'JOB_RUNNING' | 'LEASE_LOST' | 'TIMEOUT' | 'CANCELLED' | 'DEADLINE' | 'CLOSED' | 'ADDON_UNAVAILABLE' | 'DATABASE_ERROR';
/**
 * The one class of every error that this package rejects with or throws.
 *
 * Never holds a payload, a password or a connection string.
 *
 * `instanceof` holds across copies of this package: a bundler may put several into one process.
 */
declare class JobQueueError extends Error {
  readonly name = "JobQueueError";
  /** What went wrong, to compare with. The message may change between releases, the code does not. */
  readonly code: JobQueueErrorCode;
  /** Postgres's five-character `SQLSTATE`, where the server refused a statement. */
  readonly sqlState?: string;
  constructor(code: JobQueueErrorCode, message: string, details?: {
    sqlState?: string | undefined;
    cause?: unknown;
  });
}
//#endregion
//#region ts/payload/types.d.ts
/** What JSON makes of the types of payloads. Each map is taken whole, so that it is known also where the job type is not. */
/** As they may be added: what JSON has not is marked where it stands. */
type Storable<PayloadMap> = { [T in keyof PayloadMap]: Checked<PayloadMap[T]> };
/** As handlers and records get them: `JSON.parse(JSON.stringify(payload))`. */
type Stored<PayloadMap> = { [T in keyof PayloadMap]: Parsed<PayloadMap[T]> };
/** Shown by the compiler where a payload has what JSON has not. */
interface NotJson {
  'A payload may hold what JSON has: no function, method, bigint, symbol, Map or Set': never;
}
type NoJson = bigint | symbol | ((...args: never) => unknown) | (abstract new (...args: never) => unknown);
type Primitive = string | number | boolean | null | undefined;
/** A `Date` is one. */
type Converts<To> = {
  toJSON(...args: never): To;
};
/** So deep it is looked into a payload, whose type may be without end. */
interface Less {
  10: 9;
  9: 8;
  8: 7;
  7: 6;
  6: 5;
  5: 4;
  4: 3;
  3: 2;
  2: 1;
  1: 0;
  0: 0;
}
type IsAny<T> = 0 extends 1 & T ? true : false;
/** The type itself, unless something in it is marked. */
type Checked<T> = IsAny<T> extends true ? T : [T] extends [Marked<T>] ? T : Marked<T>;
type Marked<T, Depth extends keyof Less = 10> = Depth extends 0 ? T : unknown extends T ? T : T extends NoJson ? NotJson : T extends Primitive ? T : T extends Converts<infer To> ? [To] extends [Marked<To, Less[Depth]>] ? T : NotJson : { [Key in keyof T]: Marked<T[Key], Less[Depth]> };
/** The type itself, where JSON changes nothing: then it keeps its name. */
type Parsed<T> = IsAny<T> extends true ? T : [T] extends [Changed<T>] ? [Changed<T>] extends [T] ? T : Changed<T> : Changed<T>;
type Changed<T, Depth extends keyof Less = 10> = Depth extends 0 ? T : unknown extends T ? T : T extends NoJson ? never : T extends Primitive ? T : T extends Converts<infer To> ? Changed<To, Less[Depth]> : T extends readonly unknown[] ? { [Key in keyof T]: Changed<NullForUndefined<T[Key]>, Less[Depth]> } : { [Key in keyof T]: Changed<T[Key], Less[Depth]> };
/** What an array holds is never left out. */
type NullForUndefined<T> = T extends undefined ? null : T;
//#endregion
//#region ts/job/types.d.ts
/** Where a job stands. */
type JobStatus = 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';
/** The names of the jobs in a payload map. */
type JobType<PayloadMap> = keyof PayloadMap & string;
/** A job's id: a number, or the same in decimal digits, as ids arrive from URLs and JSON bodies. */
type JobId = number | string;
/** What `addJob` takes: of several types of job, each with the payload of its own. */
type JobOptions<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = { [Each in T]: JobOptionsOf<PayloadMap, Each> }[T];
/** What `addJob` takes of one type of job. */
interface JobOptionsOf<PayloadMap, T extends JobType<PayloadMap>> {
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
type AnyJobOptions<PayloadMap> = JobOptions<PayloadMap>;
/** One failed attempt, or one worker that was lost. */
interface JobErrorEntry {
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
type JobRecord<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = T extends unknown ? JobRow<PayloadMap, T> : never;
/** A row of `job_queue` of one job type. */
interface JobRow<PayloadMap, T extends JobType<PayloadMap>> {
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
//#endregion
//#region ts/processor/job-context.d.ts
/** What a handler can ask of the job it runs: see `currentJob`. Its methods are bound: they work apart from it. */
interface JobContext {
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
//#endregion
//#region ts/processor/current-job.d.ts
/**
 * The job that the calling handler runs, as `headers()` and `cookies()` give a Next.js function its
 * request. Throws `INVALID_ARGUMENT` outside a handler.
 */
declare function currentJob(): JobContext;
//#endregion
//#region ts/processor/types.d.ts
/** Its argument is the payload, as JSON gives it back. */
type JobHandler<PayloadMap, T extends keyof PayloadMap> = (payload: Stored<PayloadMap>[T]) => Promise<void>;
type JobHandlers<PayloadMap> = { [T in keyof PayloadMap]: JobHandler<PayloadMap, T> };
interface ProcessorOptions {
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
interface Processor {
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
//#endregion
//#region ts/queue/types.d.ts
/** Which pending jobs to cancel; what is absent does not restrict. */
interface CancelFilters<PayloadMap> {
  job_type?: JobType<PayloadMap> | undefined;
  priority?: number | undefined;
  /** Exactly this time, to the millisecond. */
  run_at?: Date | undefined;
}
/** Where a method runs its statement when it is not to be the queue's own pool. */
interface DatabaseOptions {
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
interface JobQueue<PayloadMap = any> extends AsyncDisposable {
  /**
   * Adds a job and resolves to its id, once the row is committed (with `db`: once it is inserted). Of several types of
   * job, each goes with its own payload alone.
   */
  addJob<T extends JobType<PayloadMap>>(job: JobOptions<PayloadMap, T>, options?: DatabaseOptions): Promise<number>;
  addJob<T extends JobType<PayloadMap>>(db: DatabaseClient, job: JobOptions<PayloadMap, T>): Promise<number>;
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
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(id: JobId): Promise<JobRecord<PayloadMap, T> | null>;
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(db: DatabaseClient, id: JobId): Promise<JobRecord<PayloadMap, T> | null>;
  /**
   * Jobs of one status, newest first. `limit` 0 to 2,147,483,647, default 100; `offset` default 0. One that
   * cannot be read whole is given as `getJob` gives it, and keeps no other from being read.
   */
  getJobsByStatus<T extends JobType<PayloadMap> = JobType<PayloadMap>>(status: JobStatus, limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
  getJobsByStatus<T extends JobType<PayloadMap> = JobType<PayloadMap>>(db: DatabaseClient, status: JobStatus, limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
  /**
   * All jobs, newest first. `limit` 0 to 2,147,483,647, default 100; `offset` default 0. One that cannot be
   * read whole is given as `getJob` gives it, and keeps no other from being read.
   */
  getAllJobs<T extends JobType<PayloadMap> = JobType<PayloadMap>>(limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
  getAllJobs<T extends JobType<PayloadMap> = JobType<PayloadMap>>(db: DatabaseClient, limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
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
//#endregion
//#region ts/queue/init-job-queue.d.ts
/**
 * Opens a job queue. Opens no connection: the first operation does, and rejects if it cannot.
 *
 * `PayloadMap` maps job types to the types of their payloads:
 * `initJobQueue<{ send_email: { to: string } }>({ databaseConfig: { connectionString } })`.
 *
 * In `next dev`, where an edit evaluates the app's modules anew, the same configuration gives the same queue
 * for as long as it is open.
 *
 * Rejects with `INVALID_CONFIG`.
 */
declare function initJobQueue<PayloadMap = any>(config: JobQueueConfig): Promise<JobQueue<PayloadMap>>;
//#endregion
//#region ts/route/types.d.ts
/** What `createRouteHandler` takes, besides the options of a processor. */
interface RouteHandlerOptions extends Omit<ProcessorOptions, 'pollInterval' | 'batchSize'> {
  /**
   * The seconds that the platform gives an invocation: the route's own `maxDuration`. 1 to 86,400,
   * fractions are allowed. Default 60.
   */
  maxDuration?: number | undefined;
  /**
   * The seconds before that at which what still runs is handed back, so that there is time to say so. The
   * answer waits for the database for nine tenths of them at the most, or for a quarter of a second.
   * 0 to `maxDuration`. Default a tenth of `maxDuration`, 10 at the most.
   */
  grace?: number | undefined;
  /**
   * What a request must carry as `Authorization: Bearer <secret>`. Default: the environment variable
   * `CRON_SECRET`, read at each request. Where it is missing or empty, every request is refused.
   */
  secret?: string | undefined;
  /** Whether to call `reclaimStuckJobs()`. Default `true`. */
  reclaim?: boolean | undefined;
  /** Delete completed jobs that are older than so many days; `false` keeps them. Default 30. */
  daysToKeep?: number | false | undefined;
}
/** What the route answers, as JSON. */
interface RouteResult {
  /** Jobs whose handlers were started. */
  processed: number;
  completed: number;
  failed: number;
  cancelled: number;
  /** Jobs that were claimed and put back, because the time was up or would not have sufficed. */
  handedBack: number;
  /** Jobs that were begun, had not ended at the deadline, and were put back. */
  didNotFit: {
    id: number;
    job_type: string;
  }[];
  /**
   * Types of which jobs are due and none was begun any more, since they usually take longer than was left. If
   * `left` is `null`, whether any are due is not known.
   */
  notClaimed: string[];
  /** Jobs that were stuck and were put back; `null` if that failed or took too long. */
  reclaimed: number | null;
  /** Old jobs that were deleted, as far as it is known; `null` if that failed or took too long. */
  deleted: number | null;
  /** Jobs that are due and wait, counted up to 10,000 of a priority; `null` if that is not known. */
  left: number | null;
  /**
   * When the next job is due that is not due yet, in ISO 8601; `null` if none is planned, or if `left` is
   * `null`.
   */
  nextDueAt: string | null;
}
/** A function for a route file to export. */
type RouteHandler = (request: Request) => Promise<Response>;
//#endregion
//#region ts/route/route-handler.d.ts
/**
 * Makes the handlers of a route that processes jobs until none is due or the time is nearly up, puts back
 * what is stuck, and deletes what is old. It stops claiming when jobs of a type usually take longer
 * than is left. At the deadline, the signals of what runs abort with `DEADLINE`, and those jobs are
 * pending again, behind what is due; the attempt counts if the run had at least half of the invocation.
 * Nothing in a request changes how much is run.
 *
 * ```ts
 * // app/api/cron/jobs/route.ts
 * export const maxDuration = 60;
 * export const { GET, POST } = createRouteHandler(getJobQueue, jobHandlers, { maxDuration });
 * ```
 *
 * Answers 200 with a `RouteResult`, 401 without the secret, and 500 with `{ error, message }` if jobs
 * cannot be run: because the database cannot be reached, or (`DEADLINE`) does not answer within the
 * `grace`. What else could not be done, or not in time, is `null` in the result. Both are told to `onError`.
 * Throws `INVALID_ARGUMENT`.
 */
declare function createRouteHandler<PayloadMap>(getQueue: () => JobQueue<PayloadMap> | Promise<JobQueue<PayloadMap>>, handlers: JobHandlers<PayloadMap>, options?: RouteHandlerOptions): {
  GET: RouteHandler;
  POST: RouteHandler;
};
//#endregion
export { type AnyJobOptions, type CancelFilters, type DatabaseClient, type DatabaseConfig, type DatabaseOptions, type JobContext, type JobErrorEntry, type JobHandler, type JobHandlers, type JobId, type JobOptions, type JobQueue, type JobQueueConfig, JobQueueError, type JobQueueErrorCode, type JobRecord, type JobRow, type JobStatus, type JobType, type Processor, type ProcessorOptions, type RouteHandler, type RouteHandlerOptions, type RouteResult, type SslConfig, createRouteHandler, currentJob, initJobQueue };