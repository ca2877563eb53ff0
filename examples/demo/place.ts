/** Where the demo takes place: a database and a folder, both gone when it is over. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { initJobQueue, type JobQueue } from 'pg-bg-job-queue';
import { type EmbeddedPostgres, startPostgres } from '../../tools/embedded-postgres.js';
import { cli } from './build.js';
import type { Display } from './display.js';
import { unlessAborted } from './interruption.js';
import type { JobPayloadMap } from './jobs.js';
import { listed } from './text.js';

const variable = 'PG_BG_JOB_QUEUE_DATABASE';

/** How to find the place, also from another process. */
export interface Address {
  url: string;
  /** The demo's own, in a database that is the user's; otherwise the default schema. */
  schema: string | undefined;
  /** For the effects of the jobs. */
  folder: string;
}

export async function openPlace(display: Display): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'pg-bg-job-queue-demo-'));
  const given = process.env[variable];
  if (given) {
    const schema = `job_queue_demo_${randomBytes(4).toString('hex')}`;
    return new Place({ url: given, schema, folder }, display);
  }
  display.say('Starting a Postgres server of its own ...', 'dim');
  try {
    const server = await startPostgres();
    // Whatever PGSSLMODE says: this server has no certificate.
    const url = `${server.url()}?sslmode=disable`;
    return new Place({ url, schema: undefined, folder }, display, server);
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
}

export class Place implements AsyncDisposable {
  #migrated = false;

  constructor(
    readonly address: Address,
    private readonly display: Display,
    /** Absent where the database is the user's. */
    private readonly server?: EmbeddedPostgres,
  ) {}

  /** The name of the table, for SQL. */
  get table(): string {
    return `${this.address.schema ?? 'public'}.job_queue`;
  }

  /** Connects for the first time, and says where to. */
  async introduce(signal: AbortSignal): Promise<void> {
    const version = await unlessAborted(versionOf(this.address), signal).catch((error) => {
      throw new Error(`The database cannot be used: ${error.message}`);
    });
    const postgres = `Postgres ${version}`;
    this.display.say(
      this.server
        ? `${postgres} runs on port ${this.server.port}, in a temporary folder: ${this.server.dataDirectory}`
        : `${postgres}, from ${variable}. The demo stays in a schema of its own, ${this.address.schema}, and drops it at the end.`,
    );
  }

  /** Migrates as a user does, with the package's CLI, and shows what it says. */
  async migrate(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { url, schema } = this.address;
    const args = ['migrate', ...(schema ? ['--schema', schema] : [])];
    this.display.say(`npx pg-bg-job-queue-cli ${args.join(' ')}`);
    this.#migrated = true;
    const env = { ...process.env, [variable]: url };
    // Not left behind when the demo is stopped: it could still make the schema after that was dropped.
    const command = promisify(execFile)(process.execPath, [cli, ...args], { env });
    const { stdout } = await command.catch(({ stderr, message }) => {
      throw new Error(stderr?.trim() || message);
    });
    this.display.quote(stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { address, server } = this;
    try {
      await server?.stop();
      await discard(this.#migrated ? address : { ...address, schema: undefined });
    } catch (error) {
      const what = listed([
        address.folder,
        ...(address.schema ? [`schema ${address.schema}`] : []),
      ]);
      this.display.say(`Not all of this could be removed: ${what}. ${error}`, 'red');
      process.exitCode = 1;
    }
  }
}

/** Removes what the demo made in a folder and in a database that outlives it. */
export async function discard(address: Address): Promise<void> {
  await Promise.all([removeFolder(address.folder), dropSchema(address)]);
}

async function dropSchema(address: Address): Promise<void> {
  if (address.schema === undefined) return;
  await using queue = await openQueue(address);
  await queue.getPool().query(`drop schema if exists ${address.schema} cascade`);
}

export function openQueue({ url, schema }: Address): Promise<JobQueue<JobPayloadMap>> {
  return initJobQueue<JobPayloadMap>({
    databaseConfig: {
      connectionString: url,
      // The demo may be somebody's guest.
      max: 3,
      connectionTimeoutMillis: 10_000,
      application_name: 'pg-bg-job-queue demo',
    },
    schema,
  });
}

async function versionOf(address: Address): Promise<string> {
  await using queue = await openQueue(address);
  const { rows } = await queue.getPool().query<{ server_version: string }>('show server_version');
  return rows[0]?.server_version.split(' ')[0] ?? 'of an unknown version';
}

const removeFolder = (folder: string) =>
  // A killed worker may still have been writing to it.
  rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
