/** The TypeScript of the documents, as files of the application that they tell of. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(__dirname, '../..');

/** Those whose code is checked. */
const DOCUMENTS = ['README.md', 'docs/deduplication.md', 'docs/retries.md', 'docs/transactions.md'];

/** What a reader has already, and the snippets take for granted. */
const READERS_OWN: Record<string, string> = {
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
  import { initJobQueue, type JobQueue } from 'pg-bg-job-queue';
  import { jobHandlers } from '@/lib/job-handlers';
  import { prisma } from '@/lib/prisma';
  import { getJobQueue, type JobPayloadMap } from '@/lib/queue';
  declare const jobId: number;
  declare const email: string;
  declare const payload: JobPayloadMap['send_email'];
  export async function fragment(queue: JobQueue<JobPayloadMap>) {
    void [initJobQueue, queue, jobId, email, payload, jobHandlers, prisma, getJobQueue];
    {
      ${snippet}
    }
  }
`;

/** The blocks of a document, in order: of which language, for which file if one is named, and what is in it. */
function blocksOf(
  document: string,
): { language: string; file: string | undefined; text: string }[] {
  const markdown = readFileSync(join(ROOT, document), 'utf8');
  return [...markdown.matchAll(/^```(\w+)(?: file=(\S+))?\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', file, text = '']) => ({ language, file, text }),
  );
}

/** The blocks of a document that are files, by their path. */
export function filesOf(document: string): Record<string, string> {
  const named = blocksOf(document).flatMap(({ file, text }) => (file ? [[file, text]] : []));
  return Object.fromEntries(named);
}

/** The blocks of a language that are no files: `sh` is what the reader enters, or writes as variables. */
export function fragmentsOf(document: string, wanted: 'sh' | 'sql' | 'dockerfile'): string[] {
  return blocksOf(document).flatMap(({ language, file, text }) =>
    language === wanted && file === undefined ? [text] : [],
  );
}

/** Files by their path, fragments by their place. */
export function snippets(): [path: string, source: string][] {
  const blocks = DOCUMENTS.flatMap(blocksOf).filter(({ language }) => language === 'ts');
  return blocks.map(({ file, text }, at) =>
    file === undefined ? [`fragments/${at}.ts`, AROUND(text)] : [file, text],
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
