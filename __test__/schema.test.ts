import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { currentJob, type JobQueue } from '../index.js';
import { cliOutput } from './helpers/cli.js';
import { useDatabase } from './helpers/database.js';
import { openQueue, rejection, runDueJobs, useQueue } from './helpers/queue.js';

const database = useDatabase();

/** The queue of a schema that the command line has migrated. */
async function migratedQueue(schema: string): Promise<JobQueue> {
  await cliOutput(['migrate', '--schema', schema], { url: database.url });
  return openQueue(database, { schema });
}

const job = (name: string) => ({ job_type: 'task', payload: { name } });
const namesOf = async (queue: JobQueue) =>
  (await queue.getAllJobs()).map(({ payload }) => payload.name);

describe('a schema may have any name that Postgres allows', () => {
  test.each([
    'pg job"queue',
    'UPPER.lower',
    "it's a back\\slash",
    '{jobs} $1 %s',
    'select',
    'ünïcödé ☃ 😀',
    "'; drop schema public cascade; --",
    `${'é'.repeat(31)}x`,
  ])('%j', async (schema) => {
    await using queue = await migratedQueue(schema);
    const schemas = await database.query('select 1 from pg_namespace where nspname = $1', [schema]);
    expect(schemas).toHaveLength(1);

    const id = await queue.addJob(job('first'));
    expect(await queue.getJob(id)).toMatchObject({ id: 1, ...job('first') });
    expect(await queue.getJob(database.pool, id)).toEqual(await queue.getJob(id));
    expect(await queue.getJobsByStatus('pending')).toHaveLength(1);
    await queue.cancelJob(id);
    await queue.retryJob(id);
    expect(await runDueJobs(queue)).toEqual([id]);
    expect(await queue.getAllJobs()).toMatchObject([{ id, status: 'completed' }]);
    expect(await queue.reclaimStuckJobs(0)).toBe(0);
    expect(await queue.cleanupOldJobs(0)).toBe(1);
    await queue.addJob(database.pool, job('second'));
    expect(await queue.cancelAllUpcomingJobs()).toBe(1);
  });

  test.each(['', 'x'.repeat(64), 'a\0b'])('but not %j', async (schema) => {
    await rejection(openQueue(database, { schema }), 'INVALID_CONFIG', /schema/);
  });
});

test('two schemas of one database do not see each other', async () => {
  await using left = await migratedQueue('left side');
  await using right = await migratedQueue('Right.Side');
  await using center = await openQueue(database);
  const queues = { left, right, center };
  const ids: number[] = [];
  for (const [name, queue] of Object.entries(queues)) ids.push(await queue.addJob(job(name)));
  expect(ids).toEqual([1, 1, 1]);
  for (const [name, queue] of Object.entries(queues)) expect(await namesOf(queue)).toEqual([name]);

  expect(await left.cancelAllUpcomingJobs()).toBe(1);
  expect(await runDueJobs(right)).toEqual([1]);
  expect(await right.cleanupOldJobs(0)).toBe(1);
  expect(await namesOf(right)).toEqual([]);
  expect(await left.getAllJobs()).toMatchObject([{ status: 'cancelled' }]);
  expect(await center.getAllJobs()).toMatchObject([{ status: 'pending' }]);
});

describe('text that looks like SQL is text', () => {
  const queue = useQueue(database);

  beforeEach(() => database.query('truncate job_queue'));

  /** Uses the text wherever text goes. */
  async function useEverywhere(text: string): Promise<void> {
    const payload = { [text]: text };
    const id = await queue.addJob({ job_type: text, payload });
    expect(await queue.cancelAllUpcomingJobs({ job_type: `${text}?` })).toBe(0);
    expect(await queue.cancelAllUpcomingJobs({ job_type: text })).toBe(1);
    await queue.retryJob(id);
    const handled: unknown[] = [];
    const handler = async (given: unknown) => void handled.push(given, currentJob().job_type);
    const handlers = Object.fromEntries([
      ['other', handler],
      [text, handler],
    ]);
    const processor = queue.createProcessor(handlers, {
      jobType: [text, 'other'],
      workerId: text,
    });
    expect(await processor.start()).toBe(1);
    expect(handled).toEqual([payload, text]);
    expect(await queue.getJob(id)).toMatchObject({
      job_type: text,
      payload,
      locked_by: text,
      status: 'completed',
    });
  }

  test.each([
    "'; drop table job_queue; --",
    "' or true --",
    "\\'; delete from job_queue; --",
    '$1::text',
    '{jobs}',
    '%_%',
    '{"a",NULL}',
    'null',
    '__proto__',
    'constructor',
    '"',
    '\u2019',
  ])('%s', useEverywhere);

  test('whatever it is', async () => {
    const texts = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 254 })
      .filter((text) => !text.includes('\0'));
    await fc.assert(fc.asyncProperty(texts, useEverywhere), { numRuns: 20 });
  });
});
