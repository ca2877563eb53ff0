import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { startPostgres } from '../../tools/embedded-postgres.js';
import { administer, templateName, withDatabase } from './database.js';
import { startPgBouncer } from './pgbouncer.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A superuser's connection string to the server of the run. */
    serverUrl: string;
  }
}

/**
 * One server for the whole run: Postgres 18, or what PG_BG_JOB_QUEUE_TEST_SERVER names. The package
 * migrates one database on it, by its CLI, as a user would; the tests work on copies of that. The modes
 * are those of `modes.ts`.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { mode } = project.vite.config;
  const external = process.env.PG_BG_JOB_QUEUE_TEST_SERVER;
  const server = external ? { url: () => external, stop: async () => {} } : await startPostgres();
  await createTemplate(server.url());
  const pooler = mode === 'pooler' ? await startPgBouncer(server.url()) : null;
  project.provide('serverUrl', server.url());
  project.provide('pooler', pooler?.address ?? null);
  project.provide('maxConnections', mode === 'one-connection' ? 1 : null);
  return async () => {
    await pooler?.stop();
    await server.stop();
  };
}

async function createTemplate(serverUrl: string): Promise<void> {
  await administer(
    serverUrl,
    `drop database if exists ${templateName} with (force)`,
    `create database ${templateName}`,
  );
  await promisify(execFile)(
    process.execPath,
    ['cli.js', 'migrate', '--database', withDatabase(serverUrl, templateName)],
    { cwd: join(__dirname, '../..') },
  );
  // A database that someone is connected to cannot be copied.
  await administer(serverUrl, `alter database ${templateName} allow_connections false`);
}
