import { describe, expect, test } from 'vitest';
import type { DeadLetter, JobQueue } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { behindPooler } from './helpers/modes.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

const pooled = behindPooler('to listen takes a session');

/** So long that a test would not wait for it. */
const pollInterval = 600_000;

/** An idle worker, as if in another process: it shares nothing with what the test adds jobs with. */
async function idleWorker(config: Parameters<typeof jobs.openQueue>[0] = {}) {
  const application_name = 'idle-worker';
  const databaseConfig = { application_name, max: 2 };
  const queue = await jobs.openQueue({ databaseConfig, ...config });
  const journal = new Journal<number>();
  const processor = queue.createProcessor(
    { job: async (payload: number) => journal.note(payload) },
    { pollInterval },
  );
  processor.startInBackground();
  const listens = async () => {
    const sessions = await jobs.database.query(
      `select from pg_stat_activity
      where application_name = $1 and state = 'idle' and query ilike 'listen%'`,
      [application_name],
    );
    return sessions.length === 1;
  };
  await until(listens, { what: 'the worker listens' });
  // It looks once more when it has begun to listen.
  await jobs.insert(1);
  await jobs.database.query(
    `select pg_notify('pg_bg_job_queue', '{"schema": "public", "ready": true}')`,
  );
  await journal.reaches(1);
  journal.notes.length = 0;
  return { queue, journal };
}

describe.skipIf(pooled)('an idle worker of another process is woken at once', () => {
  test.each<[string, (queue: JobQueue) => Promise<unknown>]>([
    ['addJob', (queue) => queue.addJob({ job_type: 'job', payload: 1 })],
    ['addJobs', (queue) => queue.addJobs([{ job_type: 'job', payload: 1 }])],
    [
      'retryJob',
      async (queue) => {
        const [id = 0] = await jobs.insert(1, { status: "'cancelled'" });
        await queue.retryJob(id);
      },
    ],
    [
      'a dead letter',
      async (queue) => {
        const columns = { job_type: "'failing'", max_attempts: '1', dead_letter_job_type: "'job'" };
        await jobs.insert(1, columns);
        const failing = () => Promise.reject(new Error('no'));
        const options = { jobType: 'failing', onJobFailed: () => {} };
        await queue.createProcessor({ failing }, options).start();
      },
    ],
    [
      'reclaimStuckJobs',
      async (queue) => {
        const locked_at = `now() - interval '1 hour'`;
        await jobs.insert(1, { status: "'processing'", locked_at });
        await queue.reclaimStuckJobs();
      },
    ],
  ])('by %s', async (_, act) => {
    const { journal } = await idleWorker();
    await act(await jobs.openQueue());
    await journal.reaches(1);
    const payloads = journal.notes.map((note: unknown) =>
      typeof note === 'object' ? (note as DeadLetter).originalPayload : note,
    );
    expect(payloads).toEqual([1]);
  });

  test('by the commit of a transaction, and not before', async () => {
    const { journal } = await idleWorker();
    const queue = await jobs.openQueue();
    const client = await jobs.database.pool.connect();
    try {
      await client.query('begin');
      await queue.addJob({ job_type: 'job', payload: 1 }, { db: client });
      // Something else wakes it meanwhile: it finds nothing.
      await queue.addJob({ job_type: 'job', payload: 2 });
      await journal.reaches(1);
      await client.query('commit');
      await journal.reaches(2);
      expect(journal.notes).toEqual([2, 1]);
    } finally {
      client.release();
    }
  });

  test('by the last of many that are added at the same time', async () => {
    const { journal } = await idleWorker();
    const queue = await jobs.openQueue();
    const payloads = Array.from({ length: 300 }, (_, n) => n);
    for (const payload of payloads) {
      void queue.addJob({ job_type: 'job', payload });
      if (payload % 50 === 0) await queue.addJob({ job_type: 'job', payload: -1 });
    }
    await journal.reaches(306);
  });

  test('after its connection was lost, too', async () => {
    const { journal } = await idleWorker();
    const lost = `select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'idle-worker' and query ilike 'listen%'`;
    const [before] = await jobs.database.query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = 'idle-worker' and query ilike 'listen%'`,
    );
    await jobs.database.query(lost);
    // What is added while it does not listen is found when it does again.
    const queue = await jobs.openQueue();
    await queue.addJob({ job_type: 'job', payload: 1 });
    await journal.reaches(1);
    expect(before).toBeDefined();
    await queue.addJob({ job_type: 'job', payload: 2 });
    await journal.reaches(2);
  });
});

describe('a worker', () => {
  test.skipIf(pooled)('keeps its sessions where the server has a limit for idle ones', async () => {
    const application_name = 'limited-worker';
    const options = '-c idle_session_timeout=200';
    const databaseConfig = { application_name, options, max: 2, idleTimeoutMillis: 0 };
    const queue = await jobs.openQueue({ databaseConfig });
    const journal = new Journal<number>();
    const told: unknown[] = [];
    const processor = queue.createProcessor(
      { job: async (payload: number) => journal.note(payload) },
      { pollInterval, onError: (error) => told.push(error) },
    );
    processor.startInBackground();
    await until(async () => {
      const sessions = await jobs.database.query(
        `select pid from pg_stat_activity
        where application_name = $1 and state = 'idle' and state_change < now() - interval '0.5 s'`,
        [application_name],
      );
      return sessions.length === 2;
    });
    const other = await jobs.openQueue();
    await other.addJob({ job_type: 'job', payload: 1 });
    await journal.reaches(1);
    expect(told).toEqual([]);
    await processor.stopAndDrain();
  });

  test.skipIf(pooled)(
    'is not woken by what is not due, nor by what happens in another schema',
    async () => {
      const { journal, queue: worker } = await idleWorker();
      const queue = await jobs.openQueue();
      const before = await claims();
      await queue.addJob({ job_type: 'job', payload: 1, run_at: new Date(Date.now() + 3_600_000) });
      await jobs.database.query(
        `select pg_notify('pg_bg_job_queue', '{"schema": "other", "ready": true}')`,
      );
      await jobs.database.query(`select pg_notify('pg_bg_job_queue', 'nonsense')`);
      // What comes after them is heard after them.
      await queue.addJob({ job_type: 'job', payload: 2 });
      await journal.reaches(1);
      expect(journal.notes).toEqual([2]);
      expect(before).toBeDefined();
      await worker.close();
    },
  );

  test('that has one connection polls, and uses no other', async () => {
    const queue = await jobs.openQueue({
      databaseConfig: { application_name: 'only-one', max: 1 },
    });
    const journal = new Journal<number>();
    queue
      .createProcessor({ job: async (n: number) => journal.note(n) }, { pollInterval: 20 })
      .startInBackground();
    await jobs.insert(1);
    await journal.reaches(1);
    const sessions = await jobs.database.query(
      `select from pg_stat_activity where application_name = 'only-one'`,
    );
    expect(sessions).toHaveLength(1);
  });

  test.skipIf(pooled)('does not listen any more when it is stopped', async () => {
    const { queue } = await idleWorker();
    await queue.close();
    await jobs.untilDisconnected('idle-worker');
  });
});

/** When the worker's connections were last used for something. */
const claims = () =>
  jobs.database.query(
    `select max(query_start) from pg_stat_activity where application_name = 'idle-worker'`,
  );
