/** Locks, slow statements and hanging handlers: the waits for them, their limits, and the work that goes on. */
import type { PoolClient } from 'pg';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { currentJob, type JobQueueError } from '../index.js';
import { spawnScript } from './helpers/child.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { behindPooler, withOneConnection } from './helpers/modes.js';
import { openProxy } from './helpers/network.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

afterEach(() =>
  jobs.database.query(`
    drop table if exists reports;
    drop trigger if exists slow on job_queue;
    drop function if exists slow()`),
);

/** Begins a transaction on a connection of its own; it is rolled back when the test is over. */
async function transaction(...statements: string[]): Promise<PoolClient> {
  const client = await jobs.database.pool.connect();
  onTestFinished(async () => {
    await client.query('rollback').catch(() => {});
    client.release();
  });
  for (const statement of ['begin', ...statements]) await client.query(statement);
  return client;
}

/** How many statements of the queue's wait for a lock. */
async function waiting(): Promise<number> {
  const rows = await jobs.database.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rows.length;
}

const lockRow = (id: number, how = 'for update') => `select from job_queue where id = ${id} ${how}`;

describe('a locked row', () => {
  test('stops no other job, and its own outcome is written when it is free', async () => {
    const ids = await jobs.insert(20, { max_attempts: '1' });
    const queue = await jobs.openQueue();
    const done = new Journal();
    const [begun, go] = [new Journal(), deferred()];
    const told: JobQueueError[] = [];
    const processor = queue.createProcessor(
      {
        async job(payload: unknown) {
          begun.note(payload);
          await go.promise;
          done.note(payload);
        },
      },
      {
        concurrency: 20,
        leaseDuration: 1_000,
        pollInterval: 50,
        onError: (error) => void told.push(error),
      },
    );
    processor.startInBackground();
    await begun.reaches(20);
    const user = await transaction(lockRow(ids[4] ?? 0));
    go.resolve();
    await until(async () => (await jobs.statuses()).completed === 19);
    // Others begin, and the lease of the locked one ends, which nobody may take for a lost worker's.
    await jobs.insert(5);
    await done.reaches(25);
    await until(async () => ((await jobs.row(ids[4] ?? 0)).lease_left ?? 1) < -0.5);
    await user.query('commit');
    await jobs.untilStatus(ids[4] ?? 0, 'completed');
    expect(await jobs.statuses()).toEqual({ completed: 25 });
    expect(done.notes).toHaveLength(25);
    expect(told).toEqual([]);
    await processor.stopAndDrain();
  });

  test('whose lock was the owner’s own handler’s costs the job nothing', async () => {
    await jobs.database.query(
      'create table reports (id serial, job_id bigint references job_queue (id))',
    );
    const ids = await jobs.insert(4, { max_attempts: '1' });
    const begun = new Journal();
    const go = deferred();
    const open = async () => {
      const queue = await jobs.openQueue();
      const processor = queue.createProcessor(
        {
          async job(payload: unknown) {
            const client = await jobs.database.pool.connect();
            try {
              await client.query('begin');
              await client.query('insert into reports (job_id) values ($1)', [currentJob().id]);
              begun.note(payload);
              await go.promise;
              await client.query('commit');
            } finally {
              client.release();
            }
          },
        },
        { leaseDuration: 1_000, pollInterval: 50, concurrency: 2 },
      );
      processor.startInBackground();
      return processor;
    };
    const processors = [await open(), await open()];
    await begun.reaches(4);
    const extended = `lease_expires_at > locked_at + interval '2.5 seconds'`;
    await until(async () => (await jobs.rows(extended)).length === 4);
    go.resolve();
    for (const id of ids) await jobs.untilStatus(id, 'completed');
    expect(begun.notes).toHaveLength(4);
    for (const processor of processors) await processor.stopAndDrain();
  });

  test.each([
    ['locked', lockRow],
    ['changed', (id: number) => `update job_queue set priority = 7 where id = ${id}`],
  ])('that was %s until just now is not taken from its owner', async (_, sql) => {
    const [id = 0] = await jobs.insert(1, {
      status: `'processing'`,
      attempts: '1',
      run_no: '7',
      locked_at: `now() - interval '1 minute'`,
      lease_expires_at: `now() - interval '30 seconds'`,
    });
    const user = await transaction(sql(id));
    await user.query('commit');
    const queue = await jobs.openQueue();
    const processor = queue.createProcessor({ job: async () => {} });
    expect(await processor.start()).toBe(0);
    // Its owner can still extend the lease, or settle.
    const row = await jobs.row(id);
    expect(row).toMatchObject({ status: 'processing', run_no: '7' });
    expect(row.lease_left).toBeGreaterThan(0);
    await jobs.endLeases(id);
    expect(await processor.start()).toBe(1);
  });

  test('a thousand lost jobs whose rows are locked do not hide the others', async () => {
    const lost = {
      status: `'processing'`,
      attempts: '1',
      locked_at: `now() - interval '1 hour'`,
      lease_expires_at: `now() - interval '30 minutes' + n * interval '1 millisecond'`,
    };
    await jobs.insert(1_000, lost);
    const [last = 0] = await jobs.insert(1, {
      ...lost,
      lease_expires_at: `now() - interval '1 minute'`,
    });
    await transaction(`select from job_queue where id <> ${last} for update`);
    const queue = await jobs.openQueue();
    expect(await queue.createProcessor({ job: async () => {} }).start()).toBe(1);
  });

  test('the clean-up passes over it', async () => {
    const [id = 0] = await jobs.insert(100, {
      status: `'completed'`,
      updated_at: `now() - interval '40 days'`,
    });
    await transaction(lockRow(id));
    const queue = await jobs.openQueue();
    expect(await queue.cleanupOldJobs()).toBe(99);
  });
});

describe('a locked table', () => {
  test.each(['share', 'access exclusive'])(
    'in %s mode claims no job for nobody, and ends none',
    async (mode) => {
      const queue = await jobs.openQueue();
      const told: JobQueueError[] = [];
      const done = new Journal();
      const processor = queue.createProcessor(
        { job: async (payload: unknown) => done.note(payload) },
        { leaseDuration: 1_000, pollInterval: 20, onError: (error) => void told.push(error) },
      );
      const user = await transaction(`lock table job_queue in ${mode} mode`);
      processor.startInBackground();
      // More than one statement has given up by now.
      const refused = new Journal<JobQueueError>();
      await until(() => told.length > 0 || refused.notes.length > 0);
      await until(waiting);
      await user.query('rollback');
      await jobs.insert(60, { max_attempts: '1' });
      await done.reaches(60);
      await processor.stopAndDrain();
      expect(await jobs.statuses()).toEqual({ completed: 60 });
      expect(told.every((error) => /55P03|57014/.test(error.sqlState ?? ''))).toBe(true);
      // Nothing of the queue's is left waiting in the server.
      await until(async () => (await waiting()) === 0);
    },
    20_000,
  );
});

describe('what a worker claimed and never began', () => {
  const needsProxy = behindPooler('the proxy is between the queue and the server itself');
  test.skipIf(needsProxy || withOneConnection('the lost one is the only one'))(
    'is found and given back, if the answer of the claim was lost',
    async () => {
      await jobs.database.query(`
        create function slow() returns trigger language plpgsql as $$
        begin
          if new.status = 'processing' then perform pg_advisory_xact_lock_shared(77); end if;
          return new;
        end $$;
        create trigger slow before update on job_queue for each row execute function slow()`);
      const { host, port } = jobs.database.directConfig;
      await using proxy = await openProxy({ host, port });
      const queue = await jobs.openQueue({ databaseConfig: proxy.address });
      const done = new Journal();
      const processor = queue.createProcessor(
        { job: async (payload: unknown) => done.note(payload) },
        { pollInterval: 50, onError: () => {} },
      );
      processor.startInBackground();
      const user = await transaction('select pg_advisory_xact_lock(77)');
      const ids = await jobs.insert(2, { max_attempts: 'n' });
      await until(waiting);
      // The server goes on with the claim when its worker can no longer hear of it.
      proxy.cut();
      await user.query('rollback');
      await done.reaches(2);
      for (const id of ids) await jobs.untilStatus(id, 'completed');
      expect(await jobs.rows()).toMatchObject(ids.map(() => ({ attempts: 1, error_history: [] })));
      await processor.stopAndDrain();
    },
  );

  test('is not counted: nine jobs of a batch behind a handler that hangs, and is killed', async () => {
    await jobs.insert(10, { max_attempts: '1' });
    await using script = spawnScript(`
      import { initJobQueue } from 'pg-bg-job-queue';
      const queue = await initJobQueue(${JSON.stringify({
        databaseConfig: jobs.database.config,
        pooler: jobs.database.pooler,
      })});
      const job = () => { console.log('begun'); return new Promise(() => {}); };
      queue.createProcessor({ job }, { batchSize: 10, concurrency: 1 }).start();
      setInterval(() => {}, 1_000);`);
    await script.waitForLine(/begun/);
    script.kill('SIGKILL');
    await script.exited;
    await jobs.endLeases();
    const queue = await jobs.openQueue();
    const processor = queue.createProcessor({ job: async () => {} }, { onError: () => {} });
    expect(await processor.start()).toBe(9);
    expect(await jobs.statuses()).toEqual({ completed: 9, failed: 1 });
    const [lost] = await jobs.rows(`status = 'failed'`);
    expect(lost?.error_history).toMatchObject([{ name: 'WorkerLost' }]);
  });

  test('on its last attempt, is not counted though its worker was killed', async () => {
    await jobs.insert(1, { max_attempts: '1' });
    // A claim alone: a worker that is killed before its handler begins leaves that.
    await jobs.update(
      `status = 'processing', run_no = 1, claim_token = -5, locked_by = 'gone',
      locked_at = now() - interval '2 minutes', lease_expires_at = now() - interval '1 minute'`,
    );
    const queue = await jobs.openQueue();
    const attempts: number[] = [];
    const job = async () => void attempts.push(currentJob().attempts);
    expect(await queue.createProcessor({ job }).start()).toBe(1);
    expect(attempts).toEqual([1]);
    expect(await jobs.rows()).toMatchObject([{ status: 'completed', attempts: 1 }]);
  });
});

describe('calls of the user', () => {
  const few = behindPooler('the pool is that of the pooler');
  test.skipIf(few || withOneConnection('the numbers of connections are the test’s'))(
    'that wait for a lock do not starve the leases of what runs',
    async () => {
      for (const max of [1, 2, 5]) {
        await jobs.database.query('truncate job_queue');
        const [running = 0, locked = 0] = await jobs.insert(2, {
          run_at: `now() + (n - 1) * interval '1 hour'`,
        });
        const queue = await jobs.openQueue({ databaseConfig: { max } });
        const { handler, started, release } = heldHandler();
        const processor = queue.createProcessor(
          { job: handler },
          { leaseDuration: 1_000, pollInterval: 50 },
        );
        processor.startInBackground();
        const { signal } = await started;
        const user = await transaction(lockRow(locked));
        const calls = Array.from({ length: 6 }, () => queue.cancelJob(locked));
        // Its lease is extended again and again, while all of them wait.
        await until(
          async () =>
            (
              await jobs.rows(
                `id = ${running} and lease_expires_at > locked_at + interval '4 seconds'`,
              )
            ).length,
        );
        expect(signal.aborted).toBe(false);
        await user.query('commit');
        await Promise.all(calls);
        expect((await jobs.row(locked)).status).toBe('cancelled');
        release();
        await jobs.untilStatus(running, 'completed');
        await processor.stopAndDrain();
      }
    },
    60_000,
  );
});

const notPooled = behindPooler('the server’s side of a session is the pooler’s');
test.skipIf(notPooled)(
  'a call that its caller has left goes on in the server no longer',
  async () => {
    // Longer than the server waits for a lock at first: from then on nothing else ends the statement.
    const queue = await jobs.openQueue({ databaseConfig: { query_timeout: 1_500 } });
    await queue.getAllJobs();
    const user = await transaction('lock table job_queue in access exclusive mode');
    await expect(queue.getAllJobs()).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
    // While the row that it waits for is still locked.
    await until(async () => (await waiting()) === 0);
    await user.query('rollback');
    expect(await queue.getAllJobs()).toEqual([]);
  },
);

test.each([
  ['locked_by', 'varchar(300)', 'varchar(255)'],
  ['priority', 'bigint', 'integer'],
])('a changed column (%s) does not stop a worker', async (column, type, before) => {
  const queue = await jobs.openQueue();
  const done = new Journal();
  const told: unknown[] = [];
  const processor = queue.createProcessor(
    { job: async (payload: unknown) => done.note(payload) },
    { pollInterval: 50, onError: (error) => void told.push(error) },
  );
  processor.startInBackground();
  await queue.addJob({ job_type: 'job', payload: 1 });
  await done.reaches(1);
  const change = `alter table job_queue alter column ${column} type`;
  await jobs.database.query(`${change} ${type}`);
  onTestFinished(async () => {
    await jobs.database.query(`${change} ${before}`);
  });
  await queue.addJob({ job_type: 'job', payload: 2 });
  await done.reaches(2);
  expect(told).toEqual([]);
  await processor.stopAndDrain();
});

test('a look at a great many priorities is taken in bounded steps, and finds what is due behind them', async () => {
  await jobs.insert(5_000, { priority: 'n + 10', run_at: `now() + interval '1 day'` });
  await jobs.insert(50);
  const queue = await jobs.openQueue();
  expect(await queue.createProcessor({ job: async () => {} }, { batchSize: 100 }).start()).toBe(50);
});
