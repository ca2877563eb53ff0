/** Databases of a test's own, on the server that the run shares. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Pool, type QueryResultRow } from 'pg';
import { afterAll, beforeAll, inject } from 'vitest';
import type { Address } from './network.js';

/** The database that the global setup migrates and that the others are copies of. */
export const templateName = 'template_migrated';

/** Runs statements, each on its own, in the database that `url` names. */
export async function administer(url: string, ...statements: string[]): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The connection string `url` with another database. */
export function withDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: name }).href;
}

export interface DatabaseOptions {
  /** Default true: with the tables of the package in it. */
  migrated?: boolean;
  /** Default `UTF8`; another one needs `migrated: false`. */
  encoding?: 'UTF8' | 'LATIN1' | 'SQL_ASCII';
  /** A superuser's connection string to another server than that of the run; needs `migrated: false`. */
  serverUrl?: string;
}

/** A new database, to be dropped by the caller: `await using database = await createDatabase()`. */
export async function createDatabase(options?: DatabaseOptions): Promise<TestDatabase> {
  const database = new TestDatabase(options);
  await database.create();
  return database;
}

/** A database for the tests of a file. The handle may be read at once, the database used in tests. */
export function useDatabase(options?: DatabaseOptions): TestDatabase {
  const database = new TestDatabase(options);
  beforeAll(() => database.create());
  afterAll(() => database.drop());
  return database;
}

/** The connection string `url` by way of a pooler in transaction mode. */
export function throughPooler(url: string, { host, port }: Address): string {
  const through = Object.assign(new URL(url), { host: `${host}:${port}` });
  through.searchParams.set('pgbouncer', 'true');
  return through.href;
}

/** Fields of a `databaseConfig`. */
interface Fields extends Address {
  user: string;
  password: string;
  database: string;
  max?: number;
}

export class TestDatabase implements AsyncDisposable {
  readonly name = `test_${randomUUID().replaceAll('-', '')}`;
  /** A connection string for queues. It leads through the pooler, in a run that has one. */
  readonly url: string;
  /** The same as fields of a `databaseConfig`; in a run through a pooler, `pooler` belongs to it. */
  readonly config: Fields;
  readonly pooler: 'transaction' | undefined;
  /** To the server itself, for what is not a queue's. */
  readonly directUrl: string;
  readonly directConfig: Fields;

  readonly #server: string;
  readonly #template: string;
  readonly #encoding: string;
  #pool: Pool | undefined;

  constructor({
    migrated = true,
    encoding = 'UTF8',
    serverUrl = inject('serverUrl'),
  }: DatabaseOptions = {}) {
    this.#server = serverUrl;
    this.directUrl = withDatabase(this.#server, this.name);
    const { hostname, port, username, password } = new URL(this.directUrl);
    this.directConfig = {
      host: hostname,
      port: Number(port || 5432),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      database: this.name,
    };
    const [pooler, max] = [inject('pooler'), inject('maxConnections')];
    this.pooler = pooler ? 'transaction' : undefined;
    this.url = pooler ? throughPooler(this.directUrl, pooler) : this.directUrl;
    this.config = { ...this.directConfig, ...pooler, ...(max && { max }) };
    this.#template = migrated ? templateName : 'template0';
    this.#encoding = encoding;
  }

  /** A node-postgres pool, made when it is first asked for and ended by `drop`. */
  get pool(): Pool {
    if (!this.#pool) {
      this.#pool = new Pool({ connectionString: this.directUrl });
      // An idle connection that a test kills would otherwise end the process.
      this.#pool.on('error', () => {});
    }
    return this.#pool;
  }

  /** The rows of a statement. */
  async query<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
    return (await this.pool.query<Row>(text, values)).rows;
  }

  async create(): Promise<void> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      try {
        const statement = `create database ${this.name} template ${this.#template}
          encoding '${this.#encoding}'`;
        return await administer(this.#server, statement);
      } catch (error) {
        // Somebody is connected to the template: at times the autovacuum is.
        const isBusy = (error as { code?: string }).code === '55006';
        if (!isBusy || performance.now() > deadline) throw error;
        await delay(50);
      }
    }
  }

  async drop(): Promise<void> {
    await this.#pool?.end();
    // A client that was ended a moment ago would hear of the force, and have nobody to tell.
    await administer(
      this.#server,
      `do $$
      begin
        for tries in 1..20 loop
          exit when not exists (select from pg_stat_activity where datname = '${this.name}');
          perform pg_sleep(0.025), pg_stat_clear_snapshot();
        end loop;
      end $$`,
    );
    await administer(this.#server, `drop database if exists ${this.name} with (force)`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop();
  }
}
