import { beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseClient, JobQueue } from '../../index.js';
import { useDatabase } from '../helpers/database.js';
import { beginDueJobs, jobWith, openQueue, rejection, useQueue } from '../helpers/queue.js';
import { libraries, type Open, strangeClients } from './libraries.js';
import { startNeonProxy } from './neon-proxy.js';

const database = useDatabase();
const queue = useQueue(database);

beforeAll(async () => {
  const proxy = await startNeonProxy();
  return () => proxy[Symbol.asyncDispose]();
});

const job = (name: string) => ({ job_type: 'task', payload: { name } });

/** A method by its name, with the client in the first place if there is one. */
type Call = (method: keyof JobQueue & string, ...args: unknown[]) => Promise<unknown>;

const through =
  (client: DatabaseClient | null): Call =>
  (method, ...args) => {
    const call = queue[method] as (...args: unknown[]) => Promise<unknown>;
    return client === null ? call(...args) : call(client, ...args);
  };

describe('every method does the same on a client as on its own pool', () => {
  /** One job for everything that the methods do to jobs, told apart by their ids. */
  async function addJobsByHand(): Promise<void> {
    await database.query('truncate job_queue restart identity');
    const states = [
      `status = 'failed', attempts = 1, run_at = '2030-01-02 03:04:05.678Z', next_attempt_at = '2020-01-02',
       locked_at = '-infinity', locked_by = 'worker ü', pending_reason = 'because', priority = -1,
       payload = '{"text": "a\\\\b ''c'' \\"d\\" 😀", "big": 12345678901234567890, "nothing": null}',
       error_history = '[{"message": "no", "timestamp": "2030-01-02T03:04:05.678Z"}]'`,
      `status = 'failed', attempts = 3`,
      `status = 'completed', updated_at = '2020-01-02'`,
      `status = 'processing', attempts = 1, locked_at = '2020-01-02'`,
      `status = 'processing', attempts = 3, locked_at = '2020-01-02', locked_by = 'worker-9'`,
      'priority = 7',
      `priority = 7, job_type = 'other'`,
      `run_at = '2030-01-02 03:04:05.678Z'`,
      `status = 'failed', attempts = 2`,
    ];
    for (const state of states) await jobWith(database, state);
    // The same at each time: what is now becomes the day of the others.
    await database.query(`update job_queue set created_at = timestamptz '2020-01-02' - id * interval '1 h',
      updated_at = '2020-01-02', run_at = case when run_at > now() then run_at else '2020-01-02' end`);
  }

  /** What the methods give and what they leave behind, without what depends on the time of the day. */
  async function useEveryMethod(call: Call) {
    await addJobsByHand();
    const given = {
      all: await call('getAllJobs'),
      page: await call('getAllJobs', 3, 2),
      failed: await call('getJobsByStatus', 'failed'),
      failedPage: await call('getJobsByStatus', 'failed', 1, 1),
      one: await call('getJob', 1),
      byDigits: await call('getJob', '1'),
      none: await call('getJob', 1000),
      retried: await call('retryJob', 2),
      retriedNone: await call('retryJob', 1000),
      cancelled: await call('cancelJob', 9),
      cancelledNone: await call('cancelJob', 3),
      reclaimed: await call('reclaimStuckJobs', 30),
      reclaimedNone: await call('reclaimStuckJobs'),
      deleted: await call('cleanupOldJobs', 30),
      deletedNone: await call('cleanupOldJobs'),
      cancelledOfType: await call('cancelAllUpcomingJobs', { job_type: 'other', priority: 7 }),
      cancelledByTime: await call('cancelAllUpcomingJobs', {
        run_at: new Date('2030-01-02T03:04:05.678Z'),
      }),
      cancelledAll: await call('cancelAllUpcomingJobs'),
      added: await call('addJob', {
        job_type: 'über 😀',
        payload: { text: `a\\b 'c' "d" 😀 $1`, list: [1.5, null, true] },
        max_attempts: 7,
        priority: -2147483648,
        run_at: new Date('2030-01-02T03:04:05.678Z'),
      }),
      addedMany: await call('addJobs', [
        job('{"not": "an object"}'),
        job('{"neither": "this"}'),
        { job_type: 'task', payload: null, priority: 1 },
      ]),
      addedNone: await call('addJobs', []),
    };
    const left = await database.query(`
      select (to_jsonb(job) - '{created_at, updated_at, run_at, next_attempt_at, ready_at, error_history, run_no}'::text[])
        || jsonb_build_object(
          'touched', updated_at > now() - interval '1 min',
          'claimed', run_no > 0,
          'due', run_at <= now(),
          'planned', case when run_at > now() then run_at end,
          'messages', jsonb_path_query_array(error_history, '$[*].message')) as job
      from job_queue job order by id`);
    return { given, left };
  }

  let expected: Awaited<ReturnType<typeof useEveryMethod>>;

  beforeAll(async () => {
    expected = await useEveryMethod(through(null));
    expect(expected.given).toMatchObject({
      one: { id: 1, run_at: new Date('2030-01-02T03:04:05.678Z') },
      none: null,
      retried: undefined,
      cancelled: undefined,
      reclaimed: 2,
      deleted: 1,
      cancelledOfType: 1,
      cancelledByTime: 1,
      cancelledAll: 3,
      added: 10,
      addedMany: [11, 12, 13],
      addedNone: [],
    });
  });

  test.each(Object.entries<Open>({ ...libraries, ...strangeClients }))('%s', async (_, open) => {
    const { db, close } = await open(database.directUrl);
    try {
      // What is sent twice shows in the ids, and in the rows that are left.
      const { given, left } = await useEveryMethod(through(db));
      expect(given).toStrictEqual(expected.given);
      expect(left).toEqual(expected.left);
      expect((given.one as { run_at: unknown }).run_at).toBeInstanceOf(Date);

      // The other way to say it, which adding has besides.
      const id = await queue.addJob(job('with { db }'), { db });
      const ids = await queue.addJobs([job('with { db }')], { db });
      expect(ids).toEqual([id + 1]);
      expect(await queue.getJob(id)).toMatchObject(job('with { db }'));
    } finally {
      await close();
    }
  });

  test.each(Object.entries<Open>(libraries))(
    'on a schema whose name holds what clients may take for theirs: %s',
    async (_, open) => {
      const schema = 'a$1 b? :c "d" \'e\' ??';
      const quoted = `"${schema.replaceAll('"', '""')}"`;
      await database.query(`create schema if not exists ${quoted}`);
      await database.query(
        `create table if not exists ${quoted}.job_queue (like public.job_queue including all)`,
      );
      await using other = await openQueue(database, { schema });
      const { db, close } = await open(database.directUrl);
      try {
        const id = await other.addJob(db, job('elsewhere'));
        expect(await other.getJob(db, id)).toMatchObject(job('elsewhere'));
        expect(await other.getJob(id)).toMatchObject(job('elsewhere'));
      } finally {
        await close();
      }
    },
  );

  test('a job that runs is refused to retryJob', async () => {
    await database.query('truncate job_queue');
    const id = await queue.addJob(job('runs'));
    const run = await beginDueJobs(queue);
    const message = (await rejection(queue.retryJob(id), 'JOB_RUNNING')).message;
    await rejection(queue.retryJob(database.pool, id), 'JOB_RUNNING', message);
    await run.finish();
  });
});
