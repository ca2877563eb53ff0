// What an app configures a queue with: `initJobQueue`'s argument.

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
