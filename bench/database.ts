/** Databases: each measurement has one of its own, copied from its peer's migrated template. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, type QueryResultRow } from 'pg';
import {
  type EmbeddedPostgres,
  type PostgresVersion,
  startPostgres,
} from '../tools/embedded-postgres.js';
import type { Peer } from './peers/peer.js';

export async function connected<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** The rows of one statement, on a connection of its own. */
export function query<Row extends QueryResultRow>(
  url: string,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  return connected(url, async (client) => (await client.query<Row>(text, values)).rows);
}

/** How many jobs of the peer's are not finished. */
export async function countUnfinished(peer: Peer, url: string): Promise<number> {
  const [row] = await query<{ count: number }>(url, peer.unfinished);
  return row?.count ?? 0;
}

/** What the server would else do at a moment of its own choice, it does now. */
export async function settleDown(url: string): Promise<void> {
  await query(url, 'vacuum analyze');
  await query(url, 'checkpoint');
}

export class Server implements AsyncDisposable {
  #templates = new Map<string, Promise<string>>();

  private constructor(private readonly postgres: EmbeddedPostgres) {}

  /** A durable one: a commit is on the disk before it is answered, as by default. */
  static async start(version: PostgresVersion = 18): Promise<Server> {
    const settings = {
      // The bare loop reads the engine's statement from pg_stat_activity.
      track_activity_query_size: '16384',
    };
    return new Server(await startPostgres({ version, durable: true, settings }));
  }

  /** A connection string for the superuser. */
  url(database?: string): string {
    return this.postgres.url(database);
  }

  async version(): Promise<string> {
    const [row] = await query<{ server_version: string }>(this.url(), 'show server_version');
    return row?.server_version ?? '';
  }

  /** A new database with the tables of the peer in it. */
  async createDatabase(peer: Peer): Promise<Database> {
    let template = this.#templates.get(peer.schema);
    if (!template) {
      template = this.#createTemplate(peer);
      this.#templates.set(peer.schema, template);
    }
    const name = `bench_${randomUUID().replaceAll('-', '')}`;
    await this.#copy(name, await template);
    return new Database(this, name);
  }

  async #createTemplate(peer: Peer): Promise<string> {
    const name = `template_${peer.schema}`;
    await query(this.url(), `create database "${name}"`);
    await peer.migrate(this.url(name));
    // A database that somebody is connected to cannot be copied.
    await query(this.url(), `alter database "${name}" allow_connections false`);
    return name;
  }

  async #copy(name: string, template: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await query(this.url(), `create database ${name} template "${template}"`);
        return;
      } catch (error) {
        // At times the autovacuum is connected to the template all the same.
        if ((error as { code?: string }).code !== '55006' || attempt === 200) throw error;
        await delay(50);
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.postgres.stop();
  }
}

export class Database implements AsyncDisposable {
  readonly url: string;

  constructor(
    private readonly server: Server,
    readonly name: string,
  ) {
    this.url = server.url(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await query(this.server.url(), `drop database if exists ${this.name} with (force)`);
  }
}
