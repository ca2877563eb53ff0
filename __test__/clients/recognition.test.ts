import { describe, expect, test } from 'vitest';
import type { DatabaseClient, JobQueue } from '../../index.js';
import { useDatabase } from '../helpers/database.js';
import { rejection, useQueue } from '../helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const job = (name: string) => ({ job_type: 'task', payload: { name } });

/** A client of a library that is not known, as opaque as a class can be. */
class Unknown {
  #connection = {};
  run(_sql: string): unknown {
    return this.#connection;
  }
}

describe('a client in the wrong place is refused', () => {
  const client = { query: () => Promise.reject(new Error('used')) };

  test.each<[keyof JobQueue & string, ...unknown[]]>([
    ['getAllJobs', undefined, 10, 0],
    ['getAllJobs', 10, 0, client],
    ['getJobsByStatus', undefined, 'failed', 10, 0],
    ['getJob', undefined, 1],
    ['getJob', {}, 1],
    ['getJob', 1, client],
    ['retryJob', undefined, 1],
    ['retryJob', 1, { db: client }],
    ['cancelJob', undefined, 1],
    ['cancelAllUpcomingJobs', undefined, {}],
    ['cancelAllUpcomingJobs', {}, client],
    ['reclaimStuckJobs', undefined, 10],
    ['cleanupOldJobs', undefined, 30],
    ['addJob', job('x'), client],
    ['addJob', job('x'), { db: null }],
    ['addJob', job('x'), { db: {} }],
    ['addJob', job('x'), { db: new Unknown() }],
    ['getAllJobs', () => 'a client'],
    ['addJobs', [job('x')], { db: null }],
  ])('%s(%o, %o, %o)', async (method, ...args) => {
    const call = queue[method] as (...args: unknown[]) => Promise<unknown>;
    await rejection(call(...args), 'INVALID_ARGUMENT', /client/i);
  });

  test('and the message lists what is taken', async () => {
    for (const call of [
      queue.addJob(job('x'), { db: {} as DatabaseClient }),
      queue.getJob(undefined as unknown as DatabaseClient, 1),
    ]) {
      const { message } = await rejection(call, 'INVALID_ARGUMENT');
      for (const library of [
        'node-postgres',
        'Prisma',
        'Drizzle',
        'Kysely',
        'Knex',
        'postgres.js',
        'TypeORM',
      ])
        expect(message).toContain(library);
    }
  });

  // Taken for options, it would be as if there were none: jobs cancelled, or added outside of it.
  test.each<[keyof JobQueue & string, ...unknown[]]>([
    ['cancelAllUpcomingJobs', new Unknown()],
    ['getAllJobs', new Unknown()],
    ['addJob', new Unknown(), job('x')],
    ['addJob', job('x'), new Unknown()],
    ['addJobs', [job('x')], new Unknown()],
  ])('also where it comes alone and shows nothing of itself: %s', async (method, ...args) => {
    const id = await queue.addJob(job('upcoming'));
    const call = queue[method] as (...args: unknown[]) => Promise<unknown>;
    await rejection(call(...args), 'INVALID_ARGUMENT');
    expect(await queue.getJob(id)).toMatchObject({ status: 'pending' });
  });
});
