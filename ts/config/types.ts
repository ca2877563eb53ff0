// The configuration of a queue: the argument of `initJobQueue`.

import type { DefaultOptions, JobType } from '../job/types.js';

/**
 * How to reach Postgres: node-postgres's `PoolConfig`, with node-postgres's meaning and precedence. An option in
 * milliseconds may be 0 to 2,147,483,647.
 */
export interface DatabaseConfig {
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
export interface SslConfig {
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
export interface Retention {
  completed?: number | false | undefined;
  /** Jobs that have failed for good; others that have failed are never deleted. */
  failed?: number | false | undefined;
  cancelled?: number | false | undefined;
}

/** The options of jobs, by job type. */
export type DefaultsOf<PayloadMap> = {
  readonly [T in JobType<PayloadMap>]?: DefaultOptions | undefined;
};

/** The argument of `initJobQueue`. */
// biome-ignore lint/suspicious/noExplicitAny: without a payload map, there may be any job types
export interface JobQueueConfig<PayloadMap = any> {
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
