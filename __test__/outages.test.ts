import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { currentJob, type JobQueue, JobQueueError, type ProcessorOptions } from '../index.js';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { cliOutput } from './helpers/cli.js';
import { createDatabase, type TestDatabase } from './helpers/database.js';
import { heldHandler, Jobs, Journal } from './helpers/jobs.js';
import { openProxy } from './helpers/network.js';
import { rejection } from './helpers/queue.js';
import { until } from './helpers/until.js';

/** A server of this file's own, to do things to that the other tests would notice. */
let server: EmbeddedPostgres;
let database: TestDatabase;
let jobs: Jobs;

beforeAll(async () => {
  server = await startPostgres({ durable: true });
  database = await createDatabase({ migrated: false, serverUrl: server.url() });
  await cliOutput(['migrate'], { url: database.url });
  jobs = new Jobs(database);
});
afterAll(() => server.stop());
beforeEach(() => database.query('truncate job_queue'));

const job = { job_type: 'job', payload: null };

/** A processor in the background, stopped when the test is over, and what it reports. */
function runInBackground(
  queue: JobQueue,
  handler: () => Promise<void>,
  options?: ProcessorOptions,
): Journal<JobQueueError> {
  const errors = new Journal<JobQueueError>();
  const onError = (error: JobQueueError) => errors.note(error);
  const processor = queue.createProcessor({ job: handler }, { ...options, onError });
  processor.startInBackground();
  onTestFinished(() => processor.stopAndDrain());
  return errors;
}

/** Ends all connections of a queue from the server's side; resolves to how many there were. */
async function terminate(applicationName: string): Promise<number> {
  const ended = await database.query(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = $1`,
    [applicationName],
  );
  return ended.length;
}

/** Makes the whole server refuse writes, also of open connections, until it is told otherwise. */
async function makeReadOnly(): Promise<() => Promise<unknown>> {
  const set = async (sql: string, expected: string) => {
    await database.query(sql);
    await database.query('select pg_reload_conf()');
    // The server tells the sessions that there are before it opens one that begins with the new setting.
    await until(async () => {
      const session = new Client({ connectionString: database.directUrl });
      await session.connect();
      const { rows } = await session.query('show default_transaction_read_only');
      await session.end();
      return rows[0]?.default_transaction_read_only === expected;
    });
  };
  const makeWritable = () => set('alter system reset default_transaction_read_only', 'off');
  onTestFinished(makeWritable);
  await set('alter system set default_transaction_read_only = on', 'on');
  return makeWritable;
}

/**
 * Adds jobs with payloads of their own, and runs them, while `disturb` is called again and again;
 * the same has to hold after every kind of disturbance.
 */
async function workThrough(times: number, disturb: (applicationName: string) => Promise<unknown>) {
  const application_name = `working ${randomUUID()}`;
  const databaseConfig = { ...database.config, application_name };
  const queue = await jobs.openQueue({ databaseConfig });
  const done = new Journal<string>();
  const handler = async () => done.note(String(currentJob().id));
  const errors = runInBackground(queue, handler, { concurrency: 8, pollInterval: 20 });

  const added: string[] = [];
  const refused: JobQueueError[] = [];
  let adding = true;
  const add = async () => {
    while (adding) {
      const payload = randomUUID();
      await queue.addJob({ job_type: 'job', payload }).then(
        () => added.push(payload),
        (error) => refused.push(error),
      );
      await delay(1);
    }
  };
  const adders = [add(), add(), add(), add()];
  for (let disturbances = 0; disturbances < times; disturbances++) {
    const soFar = { added: added.length, done: done.notes.length };
    await until(() => added.length > soFar.added + 10 && done.notes.length > soFar.done + 10, {
      what: 'it works again',
    });
    await disturb(application_name);
  }
  adding = false;
  await Promise.all(adders);

  const isDone = async () => {
    // The job of a claim whose answer was lost comes back when its lease ends.
    await database.query(
      `update job_queue set lease_expires_at = now() where id in (
        select id from job_queue where status = 'processing' and locked_at < now() - interval '2 s'
        for update skip locked
      )`,
    );
    const { completed = 0, ...others } = await jobs.statuses();
    return Object.keys(others).length === 0 && completed > 0;
  };
  await until(isDone, { what: 'all jobs are completed' });
  const rows = await jobs.rows();
  const payloads = rows.map((row) => row.payload as unknown as string);
  expect(new Set(payloads).size).toBe(payloads.length);
  expect(payloads).toEqual(expect.arrayContaining(added));
  expect(payloads.length).toBeLessThanOrEqual(added.length + refused.length);
  // Each was run, and each outcome is the only one: it failed never.
  expect(done.notes).toEqual(expect.arrayContaining(rows.map((row) => String(row.id))));
  for (const { error_history } of rows) {
    for (const entry of error_history) expect(entry).toMatchObject({ name: 'WorkerLost' });
  }
  for (const error of refused) {
    expect(error).toBeInstanceOf(JobQueueError);
    expect(error.code).toBe('CONNECTION_FAILED');
  }
  const outages = errors.notes.filter((error) => error.code !== 'LEASE_LOST');
  for (const error of outages) expect(error.code).toBe('CONNECTION_FAILED');
  expect(outages.length).toBeLessThanOrEqual(times);
  return outages;
}

describe('under load, nothing is lost and nothing is done twice', () => {
  test('while all connections are ended, again and again', async () => {
    await workThrough(5, async (applicationName) => {
      expect(await terminate(applicationName)).toBeGreaterThan(0);
    });
  });

  test('while the server crashes and comes back, again and again', async () => {
    const outages = await workThrough(2, async () => {
      server.kill('SIGQUIT');
      await server.exited;
      await server.restart();
    });
    expect(outages).not.toEqual([]);
  });
});

describe('a server that is away', () => {
  test('is asked again after waits that double, and reported once', async () => {
    await using proxy = await openProxy(database.config);
    const queue = await jobs.openQueue({
      databaseConfig: { ...database.config, ...proxy.address },
    });
    const ran = new Journal<number>();
    const handler = async () => ran.note(currentJob().id);
    const errors = runInBackground(queue, handler, { pollInterval: 20 });
    await jobs.insert(1);
    await ran.reaches(1);

    const there = proxy.target;
    proxy.target = { host: '127.0.0.1', port: 1 };
    const before = proxy.accepted;
    proxy.cut();
    const since = performance.now();
    await errors.reaches(1);
    await until(() => proxy.accepted >= before + 10);
    // Two connections are wanted, one to listen on. Of each, between five attempts, there are half of
    // 0.1, 0.2, 0.4 and 0.8 seconds at the least.
    expect(performance.now() - since).toBeGreaterThan(700);
    expect(errors.notes).toHaveLength(1);
    expect(errors.notes[0]).toMatchObject({ code: 'CONNECTION_FAILED' });

    proxy.target = there;
    await jobs.insert(1);
    await ran.reaches(2);
    expect(errors.notes).toHaveLength(1);

    proxy.cut();
    await errors.reaches(2);
    await jobs.insert(1);
    await until(async () => (await jobs.statuses()).completed === 3);
    expect(errors.notes).toHaveLength(2);
  });
});

describe('an addJob whose connection breaks before its answer', () => {
  test.each<[string, (queue: JobQueue, payload: number) => Promise<unknown>]>([
    ['addJob', (queue, payload) => queue.addJob({ job_type: 'job', payload })],
    ['addJobs', (queue, payload) => queue.addJobs([{ job_type: 'job', payload }])],
  ])(
    'rejects, saying that the job may have been added, and is not sent again: %s',
    async (_, add) => {
      await using proxy = await openProxy(database.config);
      const databaseConfig = { ...database.config, ...proxy.address, max: 1 };
      const queue = await jobs.openQueue({ databaseConfig });
      // Its connection is there, so that the answer is that of the job.
      await queue.getJob(1);
      proxy.loseAnswers('SELECT 1');
      await rejection(add(queue, 1), 'CONNECTION_FAILED', /may (still )?have (run|been added)/);
      proxy.deliverAnswers();
      await add(queue, 2);
      expect((await jobs.rows()).map((row) => row.payload)).toEqual([1, 2]);
    },
  );

  test('rejects also if the server was what ended it', async () => {
    const application_name = `ended ${randomUUID()}`;
    const queue = await jobs.openQueue({
      databaseConfig: { ...database.config, application_name },
    });
    await using lock = await tableLock();
    const adding = rejection(queue.addJob(job), 'CONNECTION_FAILED', /ended the connection/);
    await until(async () => (await waiting(application_name)) === 1);
    await terminate(application_name);
    expect((await adding).sqlState).toBe('57P01');
    await lock.release();
    expect(await jobs.rows()).toEqual([]);
  });
});

/** Keeps every statement on the table waiting. */
async function tableLock() {
  const client = await database.pool.connect();
  await client.query('begin');
  await client.query('lock table job_queue in access exclusive mode');
  let released: Promise<unknown> | undefined;
  const release = () => {
    released ??= client.query('rollback').then(() => client.release());
    return released;
  };
  return { release, [Symbol.asyncDispose]: async () => void (await release()) };
}

/** How many connections of a queue wait for a lock. */
async function waiting(applicationName: string): Promise<number> {
  const rows = await database.query(
    `select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
    [applicationName],
  );
  return rows.length;
}

describe('a server that has become read-only', () => {
  test('is reported once, and worked on when it can be written again', async () => {
    const queue = await jobs.openQueue();
    const ran = new Journal<number>();
    const { handler, started, release } = heldHandler();
    const errors = runInBackground(
      queue,
      () => {
        ran.note(currentJob().id);
        return handler();
      },
      { pollInterval: 20 },
    );
    const [first = 0] = await jobs.insert(1);
    await started;
    const makeWritable = await makeReadOnly();
    // The outcomes cannot be written, and are kept.
    release();
    await errors.reaches(1);
    expect(errors.notes[0]).toMatchObject({ sqlState: '25006' });
    await rejection(queue.addJob(job), 'DATABASE_ERROR', /read-only/);
    await rejection(queue.retryJob(first), 'DATABASE_ERROR', /read-only/);
    expect(await queue.getJob(first)).toMatchObject({ status: 'processing' });

    await makeWritable();
    await jobs.untilStatus(first, 'completed');
    const isWritable = () => queue.addJob(job).catch(() => null);
    const second = await until(isWritable);
    await jobs.untilStatus(second, 'completed');
    expect(ran.notes).toEqual([first, second]);
    expect(errors.notes).toEqual([expect.objectContaining({ sqlState: '25006' })]);
  });

  test('is left for the one that its name leads to now', async () => {
    await using proxy = await openProxy(database.config);
    const standby = await createDatabase({ migrated: false, serverUrl: server.url() });
    await cliOutput(['migrate'], { url: standby.url });
    await database.query(`alter database ${standby.name} set default_transaction_read_only = on`);
    onTestFinished(() => standby.drop());
    const queue = await jobs.openQueue({
      databaseConfig: { ...standby.config, ...proxy.address, max: 1 },
    });
    const error = await rejection(queue.addJob(job), 'DATABASE_ERROR');
    expect(error.sqlState).toBe('25006');
    // A demoted server stays read-only for open connections; a new connection may lead elsewhere.
    await database.query(`alter database ${standby.name} reset default_transaction_read_only`);
    expect(await queue.addJob(job)).toBeGreaterThan(0);
    expect(proxy.accepted).toBe(2);
  });
});

describe('a server that takes no more connections', () => {
  /** A queue of a role that may have two connections, and holds on to them. */
  async function limitedQueue(max: number) {
    const role = `limited_${randomUUID().slice(0, 8)}`;
    await database.query(`create role ${role} login password 'limited' connection limit 2`);
    await database.query(`grant all on all tables in schema public to ${role}`);
    await database.query(`grant all on all sequences in schema public to ${role}`);
    const databaseConfig = { ...database.config, user: role, password: 'limited', max };
    return { role, databaseConfig, queue: await jobs.openQueue({ databaseConfig }) };
  }

  test('makes the calls fail that it has none for, and no others', async () => {
    const { role, queue } = await limitedQueue(5);
    const count = async () => {
      const rows = await database.query(`select from pg_stat_activity where usename = $1`, [role]);
      return rows.length;
    };
    await using lock = await tableLock();
    const calls = Promise.allSettled(Array.from({ length: 5 }, () => queue.getJob(1)));
    await until(async () => (await count()) === 2);
    await delay(50);
    await lock.release();
    const settled = await calls;
    const refused = settled.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeLessThanOrEqual(3);
    for (const call of refused as PromiseRejectedResult[]) {
      expect(call.reason).toBeInstanceOf(JobQueueError);
      expect(call.reason).toMatchObject({ code: 'CONNECTION_FAILED', sqlState: '53300' });
      expect(call.reason.message).toMatch(/too many connections/);
    }
    expect(await queue.getJob(1)).toBeNull();
  });

  test('is tried again by a processor until it takes one', async () => {
    const { databaseConfig, queue } = await limitedQueue(2);
    const other = await jobs.openQueue({ databaseConfig });
    await using lock = await tableLock();
    const held = [other.getJob(1), other.getJob(1)];
    await until(async () => {
      const rows = await database.query(
        `select from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'`,
        [databaseConfig.user],
      );
      return rows.length === 2;
    });
    const ran = new Journal<number>();
    const errors = runInBackground(queue, async () => ran.note(currentJob().id), {
      pollInterval: 20,
    });
    await errors.reaches(1);
    expect(errors.notes[0]).toMatchObject({ code: 'CONNECTION_FAILED', sqlState: '53300' });
    await lock.release();
    await Promise.all(held);
    await other.close();
    await jobs.insert(1);
    await ran.reaches(1);
    expect(errors.notes).toHaveLength(1);
  });
});

describe.each(['repeatable read', 'serializable'])(
  'a database whose transactions are %s',
  (level) => {
    beforeAll(async () => {
      await database.query(
        `alter database ${database.name} set default_transaction_isolation = '${level}'`,
      );
    });
    afterAll(async () => {
      await database.query(`alter database ${database.name} reset default_transaction_isolation`);
    });

    test('runs each job once, whoever else works, and reports no conflict', async () => {
      const count = 300;
      await jobs.insert(count);
      const done = new Journal<number>();
      const errors: Journal<JobQueueError>[] = [];
      for (let each = 0; each < 4; each++) {
        const queue = await jobs.openQueue();
        const handler = async () => done.note(currentJob().id);
        errors.push(runInBackground(queue, handler, { concurrency: 5, pollInterval: 20 }));
      }
      await done.reaches(count);
      await until(async () => (await jobs.statuses()).completed === count);
      expect(new Set(done.notes).size).toBe(count);
      expect(await jobs.rows('attempts <> 1 or error_history <> $1', '[]')).toEqual([]);
      expect(errors.flatMap(({ notes }) => notes)).toEqual([]);
    });

    test('takes what users ask of it, also where they get in each other’s way', async () => {
      const queue = await jobs.openQueue();
      await jobs.insert(50);
      const calls = Array.from({ length: 10 }, () => [
        queue.addJob(job),
        queue.cancelAllUpcomingJobs(),
        queue.reclaimStuckJobs(),
        queue.cleanupOldJobs(),
      ]).flat();
      const settled = await Promise.allSettled(calls);
      expect(settled.filter(({ status }) => status === 'rejected')).toEqual([]);
    });
  },
);

describe('a deadlock with a transaction of the user’s', () => {
  /** A transaction that is never the one to be ended for a deadlock. */
  async function stubbornTransaction() {
    const client = await database.pool.connect();
    await client.query(`begin; set local deadlock_timeout = '60s'`);
    onTestFinished(async () => {
      await client.query('rollback');
      client.release();
    });
    const touch = (id: number) =>
      client.query('update job_queue set updated_at = now() where id = $1', [id]);
    return { touch, commit: () => client.query('commit') };
  }

  test('does not fail what a user asked of the queue', async () => {
    const application_name = `deadlock ${randomUUID()}`;
    const queue = await jobs.openQueue({
      databaseConfig: { ...database.config, application_name },
    });
    const [first = 0, second = 0] = await jobs.insert(2);
    const transaction = await stubbornTransaction();
    await transaction.touch(second);
    const cancelling = queue.cancelAllUpcomingJobs();
    await until(async () => (await waiting(application_name)) === 1);
    await transaction.touch(first);
    await transaction.commit();
    expect(await cancelling).toBe(2);
    expect(await jobs.statuses()).toEqual({ cancelled: 2 });
  });

  test('is none of a processor’s, which waits for no row: its outcomes are written, and nothing is told', async () => {
    const application_name = `deadlock ${randomUUID()}`;
    const queue = await jobs.openQueue({
      databaseConfig: { ...database.config, application_name, max: 2 },
    });
    const [first = 0, second = 0] = await jobs.insert(2);
    const { handler, release } = heldHandler();
    const started = new Journal();
    const errors = runInBackground(queue, () => {
      started.note(currentJob().id);
      return handler();
    });
    await started.reaches(2);
    const transaction = await stubbornTransaction();
    await transaction.touch(second);
    release();
    await jobs.untilStatus(first, 'completed');
    await transaction.touch(first);
    await transaction.commit();
    await jobs.untilStatus(second, 'completed');
    expect(await jobs.rows('attempts <> 1 or error_history <> $1', '[]')).toEqual([]);
    expect(errors.notes).toEqual([]);
  });
});
