import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { DatabaseClient, JobQueueErrorCode } from '../../index.js';
import { useDatabase } from '../helpers/database.js';
import { rejection, useQueue } from '../helpers/queue.js';

const queue = useQueue(useDatabase());

const error = (message: string, details: object) => Object.assign(new Error(message), details);
const refused = { code: '42P01', severity: 'ERROR' };
const missing = 'relation "public.job_queue" does not exist';

/** What libraries throw that the suite cannot have them throw, or that older versions of them do. */
describe.each<[string, DatabaseClient, object]>([
  [
    'Prisma with an engine in Rust',
    {
      $queryRawUnsafe: async () => {
        throw error(`\nInvalid \`prisma.$queryRawUnsafe()\` invocation:\n\n\nRaw query failed.`, {
          code: 'P2010',
          clientVersion: '6.0.0',
          meta: { code: '42P01', message: missing },
        });
      },
    },
    { code: 'NOT_MIGRATED', sqlState: '42P01', cause: { message: missing } },
  ],
  [
    'Prisma that cannot connect',
    {
      $queryRawUnsafe: async () => {
        throw error(
          `\nInvalid \`prisma.$queryRawUnsafe()\` invocation in\n/app/a.ts:1:1\n\n  1 marker-71\n` +
            'Timed out fetching a new connection',
          { code: 'P1008', meta: {} },
        );
      },
    },
    { code: 'CONNECTION_FAILED' },
  ],
  [
    'Prisma whose transaction is over',
    {
      $queryRawUnsafe: async () => {
        throw error(
          '\nInvalid invocation in\n/app/a.ts:1:1\n\n  1 marker-71\nTransaction already closed',
          { code: 'P2028', meta: {} },
        );
      },
    },
    { code: 'DATABASE_ERROR', message: /failed: Transaction already closed$/ },
  ],
  [
    'Drizzle over postgres.js',
    {
      execute: async () => {
        const cause = error(missing, { ...refused, parameters: ['marker-71'], query: 'marker-71' });
        throw error('Failed query: ...\nparams: marker-71', { params: ['marker-71'], cause });
      },
      transaction: async () => {},
      refreshMaterializedView: () => {},
    },
    { code: 'NOT_MIGRATED', sqlState: '42P01', cause: { message: missing } },
  ],
  [
    'Drizzle before it wrapped errors',
    {
      execute: async () => {
        throw error(missing, { ...refused, where: 'marker-71' });
      },
      transaction: async () => {},
      refreshMaterializedView: () => {},
    },
    { code: 'NOT_MIGRATED', sqlState: '42P01' },
  ],
  [
    'Knex that has set the bindings into the statement',
    Object.assign(() => {}, {
      raw: async () => {
        throw error(`insert into a values ('marker-71 - more') - ${missing}`, refused);
      },
      transaction: async () => {},
    }),
    { code: 'NOT_MIGRATED', sqlState: '42P01', cause: { message: missing } },
  ],
  [
    'Knex whose pool is exhausted',
    Object.assign(() => {}, {
      raw: async () => {
        throw error('Knex: Timeout acquiring a connection.', {
          sql: 'insert',
          bindings: ['marker-71'],
        });
      },
      transaction: async () => {},
    }),
    { code: 'CONNECTION_FAILED', message: /Timeout acquiring a connection/ },
  ],
  [
    'a client whose error is its own cause',
    {
      query: async () => {
        const thrown = error('around and around', { detail: 'marker-71' });
        throw Object.assign(thrown, { cause: thrown });
      },
    },
    { code: 'DATABASE_ERROR', message: /around and around/ },
  ],
])('an error of %s', (_, db, { message = /./, ...expected }: { message?: RegExp }) => {
  test('is told by what lies beneath it, and by nothing that was sent', async () => {
    const { code } = expected as { code: JobQueueErrorCode };
    const thrown = await rejection(
      queue.addJob(db, { job_type: 'task', payload: 'marker-71' }),
      code,
      message,
    );
    expect(thrown).toMatchObject(expected);
    expect(inspect(thrown, { depth: 20, showHidden: true })).not.toContain('marker-71');
  });
});
