/** The TypeScript of the documents, as files of the application that they tell of. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(__dirname, '../..');

/** Those whose code is checked. */
const DOCUMENTS = ['README.md', 'docs/transactions.md'];

/** What a reader has already, and the snippets take for granted. */
const READERS_OWN: Record<string, string> = {
  'lib/services/generate-report.ts':
    'export const generateReport = async (reportId: string, userId: string) => { void [reportId, userId]; };',
  'lib/prisma.ts': `
    import type { PrismaClient } from '../../../prisma/7/client/client';
    export declare const prisma: PrismaClient;`,
  'lib/drizzle.ts': `
    import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
    import { pgTable, text } from 'drizzle-orm/pg-core';
    export const users = pgTable('users', { email: text().notNull() });
    export declare const db: NodePgDatabase;`,
  'lib/kysely.ts': `
    import type { Kysely } from 'kysely';
    export declare const db: Kysely<{ users: { email: string } }>;`,
  'lib/knex.ts': `
    import type { Knex } from 'knex';
    export declare const knex: Knex;`,
  'lib/typeorm.ts': `
    import type { DataSource, EntitySchema } from 'typeorm';
    export declare const dataSource: DataSource;
    export declare const User: EntitySchema<{ id: number; email: string }>;`,
  'lib/sql.ts': `
    import type { Sql } from 'postgres';
    export declare const sql: Sql;`,
  'lib/pool.ts': `
    import type { Pool } from 'pg';
    export declare const pool: Pool;`,
};

/** What stands around a snippet that is no file of its own. */
const AROUND = (snippet: string) => `
  import type { JobQueue } from 'pg-bg-job-queue';
  import type { JobPayloadMap } from '@/lib/queue';
  declare const jobId: number;
  export async function fragment(queue: JobQueue<JobPayloadMap>) {
    void [queue, jobId];
    ${snippet}
  }
`;

/** Files by their path, fragments by their place. */
export function snippets(): [path: string, source: string][] {
  const text = DOCUMENTS.map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n');
  const blocks = text.matchAll(/^```ts(?: file=(\S+))?\n([\s\S]*?)^```$/gm);
  return [...blocks].map(([, file, source = ''], at) =>
    file === undefined ? [`fragments/${at}.ts`, AROUND(source)] : [file, source],
  );
}

/** Writes the application; resolves to its folder, under `target/tmp`. */
export function writeSnippets(name: string): string {
  const folder = join(ROOT, 'target/tmp', name);
  rmSync(folder, { recursive: true, force: true });
  for (const [path, source] of [...snippets(), ...Object.entries(READERS_OWN)]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), source);
  }
  return folder;
}
