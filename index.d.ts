// @ts-ignore: without the types of pg, what getPool() gives is any
import { Pool } from "pg";

//#region ts/clients/client.d.ts
/** Statements take text alone, which every client sends in the same way. */
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
 * A `Pool`, `PoolClient` or `Client` of node-postgres or of Neon's serverless driver, or an object with the same
 * `query`.
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
 * Your own database client: a `Pool`, `PoolClient` or `Client` of node-postgres; the client or transaction of Prisma,
 * Drizzle, Kysely, Knex or postgres.js; a `DataSource`, `EntityManager`, `QueryRunner` or `Repository` of TypeORM; or
 * an object with `query(text, values)` that resolves to `{ rows }`.
 */
type DatabaseClient = NodePostgresClient | PrismaClient | DrizzleClient | KyselyClient | KnexClient | PostgresJsClient;
//#endregion
//#region ts/payload/types.d.ts
/** Types of payloads, before and after JSON. Each map is taken whole, so that it works without knowing the job type. */
/** Payloads as they may be added. A type that JSON does not have is marked where it stands. */
type Storable<PayloadMap> = { [T in keyof PayloadMap]: Checked<PayloadMap[T]> };
/** Payloads as handlers and records get them: `JSON.parse(JSON.stringify(payload))`. */
type Stored<PayloadMap> = { [T in keyof PayloadMap]: Parsed<PayloadMap[T]> };
/** The compiler shows this if a payload holds something that JSON does not have. */
interface NotJson {
  'A payload may hold what JSON has: no function, method, bigint, symbol, Map or Set': never;
}
type NoJson = bigint | symbol | ((...args: never) => unknown) | (abstract new (...args: never) => unknown);
type Primitive = string | number | boolean | null | undefined;
/** An object with `toJSON`, for example a `Date`. */
type Converts<To> = {
  toJSON(...args: never): To;
};
/** How deep a payload's type is followed: it may have no end. */
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
/** The type itself if JSON changes nothing, so that it keeps its name. */
type Parsed<T> = IsAny<T> extends true ? T : [T] extends [Changed<T>] ? [Changed<T>] extends [T] ? T : Changed<T> : Changed<T>;
type Changed<T, Depth extends keyof Less = 10> = Depth extends 0 ? T : unknown extends T ? T : T extends NoJson ? never : T extends Primitive ? T : T extends Converts<infer To> ? Changed<To, Less[Depth]> : T extends readonly unknown[] ? { [Key in keyof T]: Changed<NullForUndefined<T[Key]>, Less[Depth]> } : { [Key in keyof T]: Changed<T[Key], Less[Depth]> };
/** `undefined` becomes `null` in an array, and is left out of an object. */
type NullForUndefined<T> = T extends undefined ? null : T;
//#endregion
//#region ts/job/types.d.ts
/** The status of a job. */
type JobStatus = 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';
/** The names of the jobs in a payload map. */
type JobType<PayloadMap> = keyof PayloadMap & string;
/** A job's id: a number, or the same in decimal digits, as ids arrive from URLs and JSON bodies. */
type JobId = number | string;
/** A job to be added, whose type is one of several. The payload must be that of its type. */
type JobOptions<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = { [Each in T]: JobOptionsOf<PayloadMap, Each> }[T];
/** The options of a job that its row keeps, under the same names. */
interface KeptOptions {
  /** How often the job is tried before it stays `failed`: 1 to 2,147,483,647. Default 3. */
  max_attempts: number;
  /** Higher runs first: -2,147,483,648 to 2,147,483,647. Default 0. */
  priority: number;
  /** The earliest time to run. `null` or absent: now, by the database's clock. Not before 24 November 4714 BC. */
  run_at: Date | null;
  /**
   * How long a run may take, in milliseconds: 1 to 2,147,483,647. After that its signal aborts and the attempt
   * has failed. `null` or absent: the processor's `defaultTimeout`.
   */
  timeout_ms: number | null;
  /**
   * How long after its first failed attempt the job is tried again, in milliseconds: 0 to 2,147,483,647. `null` or
   * absent: as the job's definition or its processor says (see `RetryPolicy`).
   */
  retry_delay_ms: number | null;
  /** The factor by which that delay grows with each attempt: 1 to 1,000. `null` or absent: the same. */
  retry_factor: number | null;
  /** The longest delay, in milliseconds: 0 to 2,147,483,647. `null` or absent: the same. */
  retry_max_delay_ms: number | null;
  /**
   * The type of the job that is added when this one has failed for good, by the same statement: 1 to 255 characters. Its
   * payload is a `DeadLetter`, and its priority is this job's. It has the database's defaults for all else, and no
   * dead letter of its own. `null` or absent: none is added.
   */
  dead_letter_job_type: string | null;
  /**
   * Of the jobs of this type, one at a time holds this key: 1 to 255 characters. To add another is to find the one that
   * is there: see `onConflict`. `null` or absent: the job is always added.
   */
  idempotency_key: string | null;
}
/**
 * How long a job holds its key: `'queued'` until a worker first claims it (a job that is handed back before its handler
 * began takes the key again, if it is free), `'unsettled'` until it is completed, cancelled or failed for good, `'row'` as
 * long as its row exists, or this number of milliseconds from when it was added, whatever becomes of the job and its row:
 * 1 to 3,155,760,000,000.
 */
type IdempotencyHold = 'queued' | 'unsettled' | 'row' | number;
/** The payload of the job that `dead_letter_job_type` adds. The names are those of dataqueue. */
interface DeadLetter<Payload = unknown> {
  originalJob: {
    id: number;
    jobType: string;
    attempts: number;
    maxAttempts: number;
  };
  originalPayload: Payload;
  failure: {
    /** The message of the last failed attempt. */message: string | null;
    reason: FailureReason | null; /** ISO 8601, UTC, by the database's clock. */
    failedAt: string | null;
  };
}
/**
 * Why an attempt failed: the handler threw, the job's time or its route's was up, its worker was lost, no handler was
 * registered (with `unknownTypes: 'fail'`), or Postgres refused to store how the run ended or to give the payload.
 */
type FailureReason = 'error' | 'timeout' | 'worker_lost' | 'no_handler' | 'refused';
/** The same, as `addJob` takes them: each may be left out. */
type GivenOptions = { [Option in keyof KeptOptions]?: KeptOptions[Option] | undefined } & {
  /** `null` or absent: `'unsettled'`. Without a key it has no meaning. */idempotency_hold?: IdempotencyHold | null | undefined;
};
/** What `addJob` leaves out, for all jobs of a type. */
type DefaultOptions = Omit<GivenOptions, 'run_at' | 'idempotency_key'>;
/**
 * What `addJob` does if another job holds the key.
 *
 * - `'keep'`: nothing; the job is not added.
 * - `'replace'`: the holder gets the new job's payload and options, but for the key and its hold. If it had failed, it is
 *   pending again, without attempts.
 * - `'postpone'`: the holder gets the new job's `run_at`; if it waits for its next attempt, it does so until then.
 * - `'supersede'`: the holder is cancelled, as by `cancelJob`, and the new job is added and holds the key. A holder that
 *   runs may still do so beside it, until its worker hears of the request and its `cancelGrace` is over.
 * - `'reject'`: the promise rejects with `DUPLICATE_JOB`, whose `jobId` is the holder's.
 *
 * `'replace'` and `'postpone'` keep a holder that runs, or that has settled and still holds its key.
 */
type OnConflict = 'keep' | 'replace' | 'postpone' | 'supersede' | 'reject';
/** What has become of a job that was to be added. */
interface UpsertedJob {
  /** The job that holds the key. */
  id: number;
  /** What was done: the job was added, or the holder was kept, replaced, postponed or superseded. */
  outcome: 'added' | 'kept' | 'replaced' | 'postponed' | 'superseded';
  /** The status of that job; `null`: it is gone, but its key is held for some time. */
  status: JobStatus | null;
}
/** A job to be added, of one type. */
interface JobOptionsOf<PayloadMap, T extends JobType<PayloadMap>> extends GivenOptions {
  /** The name under which its handler is registered: 1 to 255 characters. */
  job_type: T;
  /**
   * Any JSON value. Handlers and records get `JSON.parse(JSON.stringify(payload))`, and its type: a `Date` becomes a
   * `string`. Functions, methods, bigints, symbols and objects made of them, for example a `Map`, do not compile. The
   * keys of objects come in the order of Postgres's `jsonb`, so a signature over the text of the payload does not hold
   * for the payload that the handler gets.
   *
   * The text of the payload may have 64 MiB as Postgres writes it: with a space after each comma and colon, and numbers
   * without exponents, so that `1e308` has 309 digits. An array or object may have 8,388,608 members.
   */
  payload: Storable<PayloadMap>[T];
}
/** A job to be added, of any type. The payload must be that of its type. */
type AnyJobOptions<PayloadMap> = JobOptions<PayloadMap>;
/** An entry of `error_history`: a failed attempt, or a lost worker. */
interface JobErrorEntry {
  /** The error's message, up to 10,000 characters. */
  message: string;
  /** ISO 8601, UTC, by the database's clock. */
  timestamp: string;
  /** The error's class, up to 255 characters. */
  name?: string;
  /** The error's stack and its causes, up to 10,000 characters. */
  stack?: string;
  /** Which attempt it was, from 1. */
  attempt?: number;
}
/** A row of `job_queue`. Fields have the names of the columns. Comparing `job_type` narrows `payload`. */
type JobRecord<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = T extends unknown ? JobRow<PayloadMap, T> : never;
/** A row of `job_queue` of one job type. */
interface JobRow<PayloadMap, T extends JobType<PayloadMap>> extends KeptOptions {
  /** How long it holds its key; `null`: `'unsettled'`. `'released'`: another job has superseded it. */
  idempotency_hold: IdempotencyHold | 'released' | null;
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
  /**
   * When the job's run began that is under way, or that was its last: when a worker claimed the job. `null` while the job
   * is pending.
   */
  started_at: Date | null;
  /** When the job was completed; `null` if it is not. */
  completed_at: Date | null;
  /** How many attempts have begun. */
  attempts: number;
  /**
   * For a `failed` job: when it is tried again, or `null` if it is not tried again. For a `pending` job: a time before
   * which it does not run, or `null`. For other jobs it has no meaning.
   */
  next_attempt_at: Date | null;
  /** How often its handler has put it off, by `snooze`. */
  snoozes: number;
  /** When `cancelJob` was called while the job ran; `null` if it was not. */
  cancel_requested_at: Date | null;
  /** Why the last attempt that failed did so; `null` if none has, or the job is completed. */
  failure_reason: FailureReason | null;
  /**
   * Why the job does not go on: its type has no handler, or Postgres refuses to let it be claimed, settled or brought
   * back. `null` otherwise.
   */
  pending_reason: string | null;
  /** Oldest first; the last 100 are kept. */
  error_history: JobErrorEntry[];
}
//#endregion
//#region ts/config/types.d.ts
/**
 * How to reach Postgres: node-postgres's `PoolConfig`, with node-postgres's meaning and precedence. An option in
 * milliseconds may be 0 to 2,147,483,647.
 */
interface DatabaseConfig {
  /**
   * `postgresql://user:password@host:port/database?sslmode=...`. The string wins over the fields below. Parameters
   * that this package does not know have no effect, as in node-postgres: `?schema=jobs` does not choose the schema.
   *
   * A key that is present but `undefined` or empty, with no `host` beside it, is refused: an environment variable is
   * probably missing.
   */
  connectionString?: string | undefined;
  /** A host name, an address, or the directory of a Unix socket. Default: `PGHOST`, then `localhost`. */
  host?: string | undefined;
  /** 1 to 65,535. Default: `PGPORT`, then 5432. */
  port?: number | undefined;
  /** Default: `PGDATABASE`, then the user's name. */
  database?: string | undefined;
  /** Default: `PGUSER`, then the name of the operating system's user. */
  user?: string | undefined;
  /**
   * The password, or a function that is called for the password of each new connection. Default: `PGPASSWORD`, then
   * the password file.
   */
  password?: string | (() => string | Promise<string>) | undefined;
  /**
   * `true`: TLS, everything verified. `{ rejectUnauthorized: false }`: TLS, nothing verified.
   * `false` or absent: no TLS unless `sslmode` in the connection string, or `PGSSLMODE`, asks for it.
   */
  ssl?: boolean | SslConfig | undefined;
  /** The most connections that this queue opens: 1 to 10,000. Default 10. */
  max?: number | undefined;
  /**
   * An idle connection is closed after this many milliseconds; 0 keeps it open. Default 10,000. The server's
   * `idle_session_timeout` does not apply.
   */
  idleTimeoutMillis?: number | undefined;
  /** The longest wait for a connection, in milliseconds; 0 = no limit but the operating system's. Default 0. */
  connectionTimeoutMillis?: number | undefined;
  /** A connection is replaced when it is this many seconds old: 0 to 2,147,483; 0 keeps it. Default 0. */
  maxLifetimeSeconds?: number | undefined;
  /** Postgres's `statement_timeout` in milliseconds; 0 or `false` = the server's setting. Default 0. */
  statement_timeout?: number | false | undefined;
  /**
   * The longest wait for an answer of Postgres, in milliseconds; 0 = no limit. Default 300,000. A call that waits
   * longer rejects with `CONNECTION_FAILED`, and its message says that the statement may have run.
   */
  query_timeout?: number | undefined;
  /** Postgres's `lock_timeout` in milliseconds; 0 = the server's setting. Default 0. */
  lock_timeout?: number | undefined;
  /** Postgres's `idle_in_transaction_session_timeout` in milliseconds; 0 = the server's setting. Default 0. */
  idle_in_transaction_session_timeout?: number | undefined;
  /** Command-line options for the server, for example `-c geqo=off`. Default: `PGOPTIONS`. */
  options?: string | undefined;
  /** Shown in `pg_stat_activity`. Default: `PGAPPNAME`, then `fallback_application_name`, then `pg-bg-job-queue`. */
  application_name?: string | undefined;
  /** Shown in `pg_stat_activity` if neither `application_name` nor `PGAPPNAME` is given. */
  fallback_application_name?: string | undefined;
}
/** TLS with your own certificate authority or a client certificate, as PEM text. */
interface SslConfig {
  /** `false` encrypts without verifying the server. Default `true`. */
  rejectUnauthorized?: boolean | undefined;
  /** The certificate authorities, one of which must have signed the server's certificate. */
  ca?: string | Buffer | (string | Buffer)[] | undefined;
  /** The client's certificate; needs `key`. */
  cert?: string | Buffer | undefined;
  /** The client's private key; needs `cert`. */
  key?: string | Buffer | undefined;
}
/**
 * For how many days ended jobs are kept, by their status, since their rows were last changed: 0 to 1,000,000, fractions
 * are allowed. `false` or absent: for ever.
 */
interface Retention {
  completed?: number | false | undefined;
  /** Jobs that have failed for good; others that have failed are never deleted. */
  failed?: number | false | undefined;
  cancelled?: number | false | undefined;
}
/** The options of jobs, by job type. */
type DefaultsOf<PayloadMap> = { readonly [T in JobType<PayloadMap>]?: DefaultOptions | undefined };
/** The argument of `initJobQueue`. */
interface JobQueueConfig<PayloadMap = any> {
  /** How to reach Postgres. `{}` takes everything from the environment. */
  databaseConfig: DatabaseConfig;
  /**
   * Log to the console: ids, types, counts and durations, and why a job failed, but never a payload.
   * Processors and route handlers do as the queue does unless they say otherwise. Default `false`.
   */
  verbose?: boolean | undefined;
  /** The Postgres schema that holds the tables, 1 to 63 bytes: the one of the CLI's `--schema`. Default `public`. */
  schema?: string | undefined;
  /**
   * `'transaction'` if a pooler in transaction mode stands before Postgres (PgBouncer, Supavisor): it gives a client
   * another server connection for each transaction. `'none'` everywhere else.
   * Default: `'transaction'` for the poolers of Supabase and Neon and if the connection string says
   * `pgbouncer=true`, otherwise `'none'`.
   */
  pooler?: 'transaction' | 'none' | undefined;
  /**
   * The options that jobs of a type have where `addJob` and `addJobs` leave them out, or give `undefined`. `null` in a job
   * goes before the default: `timeout_ms: null` is a job without a limit of its own. The SQL function `add_job` does not
   * know these defaults.
   */
  defaults?: DefaultsOf<PayloadMap> | undefined;
  /**
   * Deletes old jobs, in small batches: the processors that run in the background do, when they start and every ten
   * minutes, and `createRouteHandler` does after its jobs. Default: nothing is deleted, but for completed jobs by
   * `createRouteHandler`, whose `daysToKeep` goes before `completed` here.
   *
   * A job that a trigger makes slow to delete is passed over after a second. A pooler in transaction mode goes on with the
   * statement for as long as the server's `statement_timeout` lets it, and it keeps its connection.
   */
  retention?: Retention | undefined;
}
//#endregion
//#region ts/errors/job-queue-error.d.ts
/** The code of an error: a string to compare with, which does not change between releases. */
type JobQueueErrorCode = 'INVALID_CONFIG' | 'INVALID_ARGUMENT' | 'INVALID_PAYLOAD' | 'NOT_MIGRATED' | 'CONNECTION_FAILED' | 'JOB_RUNNING' | 'DUPLICATE_JOB' | 'LEASE_LOST' | 'TIMEOUT' | 'CANCELLED' | 'DEADLINE' | 'NO_HANDLER' | 'CLOSED' | 'ADDON_UNAVAILABLE' | 'DATABASE_ERROR';
/**
 * The class of every error that this package throws or rejects with. An error never holds a payload, a password or a
 * connection string.
 *
 * `instanceof` works across copies of this package: a bundler may put several into one process.
 */
declare class JobQueueError extends Error {
  readonly name = "JobQueueError";
  /** The code to compare with. The message may change between releases, the code does not. */
  readonly code: JobQueueErrorCode;
  /** Postgres's five-character `SQLSTATE`, if the server refused a statement. */
  readonly sqlState?: string;
  /** The job that holds the key, of a `DUPLICATE_JOB`. */
  readonly jobId?: number;
  constructor(code: JobQueueErrorCode, message: string, details?: {
    sqlState?: string | undefined;
    jobId?: number | undefined;
    cause?: unknown;
  });
}
//#endregion
//#region ts/processor/job-context.d.ts
/** The columns of its job that a handler sees: those that `src/job/claimed.rs` lists for a claim. */
interface SeenColumns {
  /** Which attempt this is, from 1. */
  readonly attempts: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly run_at: Date | null;
}
/** The job that a handler runs: see `currentJob`. Its methods are bound and can be passed on. */
interface JobContext extends SeenColumns {
  readonly id: number;
  readonly job_type: string;
  /**
   * Aborts when the run should end. Its reason is a `JobQueueError`, whose code is `TIMEOUT` if the job's time is up,
   * `CANCELLED` if the job is to be cancelled, `DEADLINE` if the time of the route is up, and `LEASE_LOST` if the run
   * no longer owns the job.
   */
  readonly signal: AbortSignal;
  /**
   * Lets this run go on for at least `ms` milliseconds from now: 1 to 2,147,483,647. Does nothing if the run has no
   * time limit, or if its time ends later anyway. Throws `INVALID_ARGUMENT`.
   */
  extendTimeout(ms: number): void;
  /**
   * Puts the job off until `when`: a number of milliseconds from now, 0 to 8,640,000,000,000,000, or a `Date`; a second
   * from now at the least. The job is pending again when the handler ends, and the attempt is not counted. Nothing is
   * interrupted: return after the call. The last call counts.
   *
   * If the handler throws, the attempt has failed and the job is not put off. A cancellation, the end of the run's time,
   * and a `completeIn` that commits go before it. Throws `INVALID_ARGUMENT`.
   */
  snooze(when: number | Date): void;
  /**
   * Completes the job in your transaction. If the transaction commits, the job is completed together with everything
   * else that the transaction wrote. If it rolls back, the job goes on. The handler must await the commit or rollback
   * before it ends.
   *
   * `db` must be the client of the transaction itself: on any other connection, the job is completed at once, and
   * stays so if your transaction rolls back. Rejects with `INVALID_ARGUMENT` if `db` is recognised as a pool or a
   * root client, and with `LEASE_LOST` if this run no longer owns the job.
   */
  completeIn(db: DatabaseClient): Promise<void>;
}
//#endregion
//#region ts/processor/current-job.d.ts
/**
 * Gives a handler the job that it runs, as `headers()` and `cookies()` give a Next.js function its request. Works in
 * everything that the handler awaits. Throws `INVALID_ARGUMENT` outside a handler.
 */
declare function currentJob(): JobContext;
//#endregion
//#region ts/processor/retry-errors.d.ts
/**
 * Thrown by a handler: the attempt has failed, and the job is tried again at this time, whatever its retry policy says.
 * A time in the past is now. Without attempts left, the job has failed for good.
 *
 * `instanceof` works across copies of this package.
 */
declare class RetryAfter extends Error {
  readonly name: string;
  /**
   * @param when milliseconds from now, 0 to 8,640,000,000,000,000, or a `Date`. Throws `INVALID_ARGUMENT` for another
   * value.
   */
  constructor(when: number | Date, message?: string, options?: ErrorOptions);
}
/**
 * Thrown by a handler: the job has failed for good, even if attempts are left.
 *
 * `instanceof` works across copies of this package.
 */
declare class Unrecoverable extends Error {
  readonly name: string;
  constructor(message?: string, options?: ErrorOptions);
}
//#endregion
//#region ts/processor/types.d.ts
/** Runs a job. The argument is the payload, as JSON gives it back. If the promise rejects, the attempt has failed. */
type JobHandler<PayloadMap, T extends keyof PayloadMap> = (payload: Stored<PayloadMap>[T]) => Promise<void>;
/** The handlers, by job type. */
type JobHandlers<PayloadMap> = { [T in keyof PayloadMap]: JobHandler<PayloadMap, T> };
/**
 * When a failed job is tried again. The delay before attempt `n + 1` is `delay * factor^(n - 1)`, `maxDelay` at the most,
 * times a random number between `1 - jitter` and 1. If one of these four is given, the others have their defaults.
 *
 * The job's own `retry_delay_ms`, `retry_factor` and `retry_max_delay_ms` go before the policy of its definition, and
 * that before the processor's, field by field. If none of them sets a field, the job is tried again after `2^attempts`
 * minutes: 2, 4, 8 ...
 *
 * A job whose worker was lost is due again as soon as that is noticed, whatever its policy.
 */
interface RetryPolicy {
  /** Before the second attempt, in milliseconds: 0 to 2,147,483,647. Default 1,000. */
  delay?: number | undefined;
  /** How the delay grows with each attempt: 1 (it does not grow) to 1,000. Default 2. */
  factor?: number | undefined;
  /** The longest delay, in milliseconds: 0 to 2,147,483,647. Default 3,600,000. */
  maxDelay?: number | undefined;
  /**
   * The part of the delay that is left to chance, so that jobs that failed together do not come back together: 0 to 1.
   * Default 0.25.
   */
  jitter?: number | undefined;
  /**
   * Decides by what the handler threw: milliseconds from now or a `Date` (a time in the past is now), `'fail'` if the
   * job has failed for good, or `undefined` for the delay as above. It grants no attempt beyond the last. It is not
   * asked about `RetryAfter` and `Unrecoverable`, which decide themselves, nor about runs whose time was up and lost
   * workers. It must not be async. If it throws, or gives another value, `onError` is told, and the delay holds.
   */
  decide?: ((error: unknown, job: JobContext) => number | Date | 'fail' | undefined) | undefined;
}
/** A handler, and what holds for all jobs of its type. */
interface JobDefinition<PayloadMap, T extends keyof PayloadMap> {
  run: JobHandler<PayloadMap, T>;
  /** When a job of this type that has failed is tried again. */
  retry?: RetryPolicy | undefined;
  /**
   * How long a run may take, in milliseconds: 1 to 2,147,483,647. The job's own `timeout_ms` goes before it, and it goes
   * before the processor's `defaultTimeout`.
   */
  timeout?: number | undefined;
}
/** A handler or a definition for each job type: what processors and routes take. */
type JobDefinitions<PayloadMap> = { [T in keyof PayloadMap]: JobHandler<PayloadMap, T> | JobDefinition<PayloadMap, T> };
/** The options of `createProcessor`. */
interface ProcessorOptions {
  /** The name stored in `locked_by`: 1 to 255 characters. Default: `worker-` and random characters. */
  workerId?: string | undefined;
  /** The most jobs claimed at a time: 1 to 10,000. Default 10. */
  batchSize?: number | undefined;
  /** The most handlers running at a time, whatever `batchSize` is: 1 to 10,000. Default 3. */
  concurrency?: number | undefined;
  /**
   * How long an idle processor in the background waits before it looks for jobs again, in milliseconds: 1 to
   * 86,400,000. Default 5,000.
   */
  pollInterval?: number | undefined;
  /**
   * Called with each error that no handler has thrown: errors of claiming jobs, settling them, and connecting.
   * Default: `console.error`.
   */
  onError?: ((error: JobQueueError) => void) | undefined;
  /**
   * Called for each attempt that fails, with the error that the handler threw. If the job's time was up, the error is
   * a `JobQueueError` with the code `TIMEOUT`; if its type has no handler, the code is `NO_HANDLER`. A job that
   * is cancelled or handed back has not failed. The function may be async and is not waited for; an error that it
   * throws is printed. Default: `console.error` with the job's id, type and attempt, and the error's message and
   * stack.
   */
  onJobFailed?: ((error: unknown, job: JobContext) => void) | undefined;
  /** Log to the console, as `verbose` of `initJobQueue` does. Default: as the queue does. */
  verbose?: boolean | undefined;
  /**
   * Take only jobs of this type, or of these types. Each must have a handler. Default: all types. See `unknownTypes`.
   */
  jobType?: string | readonly string[] | undefined;
  /**
   * What becomes of a due job of a type that has no handler here, as when a newer deployment has added the type.
   *
   * - `'leave'`, the default: the job is put back at once, for a worker that has a handler. The attempt is not counted,
   *   and `pending_reason` says why. `onError` is told once for each type, with the code `NO_HANDLER`. The queue's
   *   processors with these handlers then claim only jobs of the types that they handle, and claim all types again
   *   after a minute; if such jobs are still there, after two minutes, and so on up to an hour.
   * - `'fail'`: the attempt fails with `No handler registered for job type: X`, also in `pending_reason`.
   */
  unknownTypes?: 'leave' | 'fail' | undefined;
  /** When a job that has failed is tried again, where neither the job nor its definition says. */
  retry?: RetryPolicy | undefined;
  /**
   * Delete a job when it completes. That is faster than keeping it as `completed`, and the table stays small. Jobs that
   * fail or are cancelled are kept. Default `false`.
   */
  removeOnComplete?: boolean | undefined;
  /**
   * How long this processor owns a job after claiming it, in milliseconds: 1,000 to 86,400,000. Default 30,000. While
   * the job runs, the engine extends the lease. If the process dies, other processors can claim its jobs after this
   * time.
   */
  leaseDuration?: number | undefined;
  /**
   * How long a run may take if its job has no `timeout_ms`, in milliseconds: 1 to 2,147,483,647. After that its signal
   * aborts, the attempt has failed, and its slot is free. Default: no limit.
   */
  defaultTimeout?: number | undefined;
  /**
   * How long a run may go on after `cancelJob` has aborted its signal, in milliseconds: 0 to 2,147,483,647. After that
   * the job is cancelled, and its slot is free. Default 5,000.
   */
  cancelGrace?: number | undefined;
}
/** Runs jobs. Its methods are bound and can be passed on: `process.once('SIGTERM', processor.stop)`. */
interface Processor {
  /**
   * Claims one batch of due jobs, runs it, and waits until every outcome is written. Resolves to the number of jobs
   * that ran, failed ones included. Rejects if the jobs cannot be claimed, with `INVALID_ARGUMENT` if this processor
   * is already running, and with `CLOSED` if the queue is closed.
   */
  start(): Promise<number>;
  /**
   * Runs jobs until it is stopped. Does nothing if it already runs in the background. Throws `INVALID_ARGUMENT` while a
   * batch runs, and `CLOSED` if the queue is closed.
   */
  startInBackground(): void;
  /** Stops claiming jobs. The jobs that run go on to their end. */
  stop(): void;
  /**
   * Stops claiming jobs and waits until the jobs that run have ended and their outcomes are written. After `timeoutMs`
   * milliseconds, it hands back the jobs that still run: 0 to 2,147,483,647, default 30,000. A handler may call it: its
   * own job is handed back when the others have ended. It resolves when that is written, 5 seconds after `timeoutMs` at
   * the most. Rejects with `INVALID_ARGUMENT`.
   */
  stopAndDrain(timeoutMs?: number): Promise<void>;
  /** `true` from its start until it is stopped, or until its batch has ended. */
  isRunning(): boolean;
}
//#endregion
//#region ts/queue/types.d.ts
/** Which pending jobs to cancel. A filter that is absent does not restrict. */
interface CancelFilters<PayloadMap> {
  /** Jobs of this type. */
  job_type?: JobType<PayloadMap> | undefined;
  /** Jobs of this priority: -2,147,483,648 to 2,147,483,647. */
  priority?: number | undefined;
  /** Jobs with exactly this `run_at`, to the millisecond. */
  run_at?: Date | undefined;
}
/** The database client on which a method runs its statement, if not on a connection of the queue. */
interface DatabaseOptions {
  /**
   * Your own database client. The statement commits or rolls back with the transaction that is open on it. The queue
   * cannot notice a client outside of your transaction: there, the statement takes effect at once.
   */
  db?: DatabaseClient | undefined;
}
/** How a job is added. */
interface AddOptions extends DatabaseOptions {
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
interface JobQueue<PayloadMap = any> extends AsyncDisposable {
  /**
   * Adds a job. Resolves to its id when the row is committed; with `db`, when it is inserted. Rejects with
   * `INVALID_PAYLOAD` if Postgres could not store the payload.
   *
   * If another job holds the `idempotency_key`, `onConflict` decides, and the id is that of the job that holds the key
   * afterwards. If a transaction that has added the key is open, the call waits for its end.
   */
  addJob<T extends JobType<PayloadMap>>(job: JobOptions<PayloadMap, T>, options?: AddOptions): Promise<number>;
  addJob<T extends JobType<PayloadMap>>(db: DatabaseClient, job: JobOptions<PayloadMap, T>): Promise<number>;
  /** Adds a job that has an `idempotency_key`, as `addJob` does, and resolves to what has become of it. */
  upsertJob<T extends JobType<PayloadMap>>(job: JobOptions<PayloadMap, T> & {
    idempotency_key: string;
  }, options?: AddOptions): Promise<UpsertedJob>;
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
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(id: JobId): Promise<JobRecord<PayloadMap, T> | null>;
  getJob<T extends JobType<PayloadMap> = JobType<PayloadMap>>(db: DatabaseClient, id: JobId): Promise<JobRecord<PayloadMap, T> | null>;
  /**
   * Resolves to jobs of one status, newest first. `limit`: 0 to 2,147,483,647, default 100. `offset`: 0 to
   * 2,147,483,647, default 0. A job that cannot be read whole comes as `getJob` gives it, and the others come whole.
   */
  getJobsByStatus<T extends JobType<PayloadMap> = JobType<PayloadMap>>(status: JobStatus, limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
  getJobsByStatus<T extends JobType<PayloadMap> = JobType<PayloadMap>>(db: DatabaseClient, status: JobStatus, limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
  /**
   * Resolves to jobs of every status, newest first. `limit`: 0 to 2,147,483,647, default 100. `offset`: 0 to
   * 2,147,483,647, default 0. A job that cannot be read whole comes as `getJob` gives it, and the others come whole.
   */
  getAllJobs<T extends JobType<PayloadMap> = JobType<PayloadMap>>(limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
  getAllJobs<T extends JobType<PayloadMap> = JobType<PayloadMap>>(db: DatabaseClient, limit?: number, offset?: number): Promise<JobRecord<PayloadMap, T>[]>;
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
//#endregion
//#region ts/queue/init-job-queue.d.ts
/**
 * Opens a job queue. The first operation opens a connection, and rejects if it cannot.
 *
 * `PayloadMap` maps job types to the types of their payloads:
 * `initJobQueue<{ send_email: { to: string } }>({ databaseConfig: { connectionString } })`.
 *
 * In `next dev`, an edit evaluates the app's modules anew. There, the same configuration gives the same queue for as
 * long as the queue is open.
 *
 * Rejects with `INVALID_CONFIG`.
 */
declare function initJobQueue<PayloadMap = any>(config: JobQueueConfig<PayloadMap>): Promise<JobQueue<PayloadMap>>;
//#endregion
//#region ts/route/types.d.ts
/** The options of `createRouteHandler`: those of a processor, without `pollInterval` and `batchSize`, and these. */
interface RouteHandlerOptions extends Omit<ProcessorOptions, 'pollInterval' | 'batchSize'> {
  /**
   * How many seconds the platform gives an invocation: the `maxDuration` that the route file exports. 1 to 86,400,
   * fractions are allowed. Default 60.
   */
  maxDuration?: number | undefined;
  /**
   * How many seconds before the end of the invocation the jobs that still run are handed back. In this time the route
   * writes the outcomes and answers: it waits for the database for nine tenths of it, or a quarter of a second if that
   * is longer. 0 to `maxDuration`, fractions are allowed. Default: a tenth of `maxDuration`, from
   * 0.3 to 10.
   */
  grace?: number | undefined;
  /**
   * The secret that a request must carry as `Authorization: Bearer <secret>`. Default: the environment variable
   * `CRON_SECRET`, read at each request. If there is no secret, or an empty one, every request is refused.
   */
  secret?: string | undefined;
  /** Whether to call `reclaimStuckJobs()`. Default `true`. */
  reclaim?: boolean | undefined;
  /**
   * Delete completed jobs that were last updated more than this many days ago: 0 to 1,000,000, fractions are allowed.
   * `false` keeps them. Default: `retention.completed` of `initJobQueue`, else 30. Failed and cancelled jobs are deleted
   * as `retention` says.
   */
  daysToKeep?: number | false | undefined;
}
/** The route's answer, as JSON. */
interface RouteResult {
  /** How many jobs ran: those whose handlers were started. */
  processed: number;
  /** How many of them completed. */
  completed: number;
  /** How many of them failed. */
  failed: number;
  /** How many of them were cancelled. */
  cancelled: number;
  /**
   * How many jobs were claimed and put back, because the time was up or would not have been enough, or because their
   * type has no handler here.
   */
  handedBack: number;
  /** The jobs that their handlers put off. */
  snoozed: number;
  /** The jobs that had started, had not ended at the deadline, and were put back. */
  didNotFit: {
    id: number;
    job_type: string;
  }[];
  /**
   * The types of jobs that the route did not start any more, because they usually take longer than the time that was
   * left. Jobs of these types are due; if `left` is `null`, that is not known.
   */
  notClaimed: string[];
  /** How many stuck jobs were put back; `null` if that failed or took too long. */
  reclaimed: number | null;
  /** How many old jobs were deleted, as far as the route knows; `null` if that failed or took too long. */
  deleted: number | null;
  /**
   * How many jobs are due, counted up to 10,000 of each priority, also of types without a handler here; `null` if that
   * is not known.
   */
  left: number | null;
  /**
   * When the next job will be due, in ISO 8601; `null` if none is planned, or if `left` is `null`.
   */
  nextDueAt: string | null;
}
/** Handles a request. A route file exports it. */
type RouteHandler = (request: Request) => Promise<Response>;
//#endregion
//#region ts/route/route-handler.d.ts
/**
 * Creates the handlers of a route that runs jobs until none is due or the time is nearly up, puts back stuck jobs, and
 * deletes old ones. It stops claiming jobs of a type if they usually take longer than the time that is left. At the
 * deadline, the signals of the jobs that run abort with `DEADLINE`, and these jobs are pending again, behind the jobs
 * that are due; the attempt counts if the run had at least half of the invocation. Nothing in a request changes which
 * jobs run.
 *
 * ```ts
 * // app/api/cron/jobs/route.ts
 * export const maxDuration = 60;
 * export const { GET, POST } = createRouteHandler(getJobQueue, jobHandlers, { maxDuration });
 * ```
 *
 * Answers 200 with a `RouteResult`, 401 without the secret, and 500 with `{ error, message }` if jobs cannot run:
 * because the database cannot be reached, or does not answer within the `grace` (`DEADLINE`). Other steps that fail,
 * or take too long, leave `null` in the result. `onError` gets the errors of both. Throws `INVALID_ARGUMENT`.
 */
declare function createRouteHandler<PayloadMap>(getQueue: () => JobQueue<PayloadMap> | Promise<JobQueue<PayloadMap>>, handlers: JobDefinitions<PayloadMap>, options?: RouteHandlerOptions): {
  GET: RouteHandler;
  POST: RouteHandler;
};
//#endregion
export { type AddOptions, type AnyJobOptions, type CancelFilters, type DatabaseClient, type DatabaseConfig, type DatabaseOptions, type DeadLetter, type DefaultOptions, type FailureReason, type IdempotencyHold, type JobContext, type JobDefinition, type JobDefinitions, type JobErrorEntry, type JobHandler, type JobHandlers, type JobId, type JobOptions, type JobQueue, type JobQueueConfig, JobQueueError, type JobQueueErrorCode, type JobRecord, type JobRow, type JobStatus, type JobType, type OnConflict, type Processor, type ProcessorOptions, RetryAfter, type RetryPolicy, type RouteHandler, type RouteHandlerOptions, type RouteResult, type SslConfig, Unrecoverable, type UpsertedJob, createRouteHandler, currentJob, initJobQueue };