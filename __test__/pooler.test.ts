/** What the option `pooler: 'transaction'` is for, behind a PgBouncer whose connections are shared. */
import { Client } from 'pg';
import { beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { currentJob, type DatabaseConfig, type JobQueueError } from '../index.js';
import { spawnScript } from './helpers/child.js';
import { cliOutput } from './helpers/cli.js';
import { createDatabase, throughPooler } from './helpers/database.js';
import { describeWith } from './helpers/describe-with.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { type PgBouncer, serverConnections, startPgBouncer } from './helpers/pgbouncer.js';
import { type QueueOptions, rejection } from './helpers/queue.js';
import { until } from './helpers/until.js';
import { openWiretap } from './helpers/wire.js';

const jobs = useJobs();
let pooler: PgBouncer;

/** A queue behind the pooler. */
const openQueue = ({ databaseConfig, ...options }: QueueOptions = {}) =>
  jobs.openQueue({
    pooler: 'transaction',
    ...options,
    databaseConfig: { ...jobs.database.directConfig, ...pooler.address, ...databaseConfig },
  });

describeWith('pgbouncer', 'behind PgBouncer in transaction mode', () => {
  beforeAll(async () => {
    pooler = await startPgBouncer(inject('serverUrl'));
    return () => pooler.stop();
  });

  test('what a role has set gives no statement another meaning', async () => {
    await using odd = await createDatabase();
    await odd.query(`
      alter database ${odd.name} set array_nulls = off;
      alter database ${odd.name} set transform_null_equals = on;
      alter database ${odd.name} set standard_conforming_strings = off`);
    const queue = await openQueue({ databaseConfig: { database: odd.name } });
    const job = { job_type: 'job', payload: 'a\\b' };
    await queue.addJobs([job, { ...job, timeout_ms: 60_000 }]);
    const ran: unknown[] = [];
    const handler = async (payload: unknown) => void ran.push(payload);
    expect(await queue.createProcessor({ job: handler }).start()).toBe(2);
    expect(ran).toEqual(['a\\b', 'a\\b']);
    expect(await queue.getJobsByStatus('completed')).toHaveLength(2);
    await queue.close();
  });

  describe('one message, and its answer, is', () => {
    async function watchedQueue() {
      const wiretap = await openWiretap(pooler.address);
      onTestFinished(() => wiretap[Symbol.asyncDispose]());
      const databaseConfig = { ...wiretap.address, max: 1 };
      const queue = await openQueue({ databaseConfig });
      await queue.getJob(1);
      wiretap.take();
      return { queue, wiretap };
    }
    const job = { job_type: 'job', payload: {} };
    const oneMessage = { asked: 'Q', answers: 1 };

    test('what every method costs', async () => {
      const { queue, wiretap } = await watchedQueue();
      const [pending = 0, failed = 0] = await queue.addJobs([job, job]);
      await jobs.update(`status = 'failed'`, failed);
      wiretap.take();
      for (const [name, call] of Object.entries({
        addJobs: () => queue.addJobs([job, job, job]),
        getJob: () => queue.getJob(pending),
        getJobsByStatus: () => queue.getJobsByStatus('pending'),
        getAllJobs: () => queue.getAllJobs(),
        retryJob: () => queue.retryJob(failed),
        cancelJob: () => queue.cancelJob(pending),
        cancelAllUpcomingJobs: () => queue.cancelAllUpcomingJobs(),
        reclaimStuckJobs: () => queue.reclaimStuckJobs(),
        cleanupOldJobs: () => queue.cleanupOldJobs(),
      })) {
        await call();
        expect({ name, ...wiretap.take() }).toEqual({ name, ...oneMessage });
      }
    });

    test('what addJob costs, and what many at once do together with word of them', async () => {
      const { queue, wiretap } = await watchedQueue();
      await queue.addJob(job);
      expect(wiretap.take()).toEqual(oneMessage);
      await Promise.all(Array.from({ length: 100 }, () => queue.addJob(job)));
      // All of them, and word of them, which may come later.
      expect(wiretap.take().asked).toMatch(/^Q{1,3}$/);
    });

    test('what it costs to settle a batch and claim the next', async () => {
      const { queue, wiretap } = await watchedQueue();
      await jobs.insert(6);
      const ran = await queue.createProcessor({ job: async () => {} }, { concurrency: 10 }).start();
      expect(ran).toBe(6);
      // The claim, the question for jobs of lost workers, since fewer were due than there was room for, and
      // what settles.
      expect(wiretap.take()).toEqual({ asked: 'QQQ', answers: 3 });
    });

    test('what it costs to extend a lease', async () => {
      const { queue, wiretap } = await watchedQueue();
      const [id = 0] = await jobs.insert(1);
      const { handler, started, release } = heldHandler();
      const options = { leaseDuration: 1_000, batchSize: 1 };
      const ran = queue.createProcessor({ job: handler }, options).start();
      await started;
      const { lease_expires_at: before } = await jobs.row(id);
      wiretap.take();
      const seen = { asked: '', answers: 0 };
      await until(() => {
        const { asked, answers } = wiretap.take();
        seen.asked += asked;
        seen.answers += answers;
        return answers > 0;
      });
      expect(seen).toEqual(oneMessage);
      const { lease_expires_at: now } = await jobs.row(id);
      expect(Number(now)).toBeGreaterThan(Number(before));
      release();
      await ran;
    });
  });

  test('every answer is to what was asked, however many share the connections', async () => {
    const script = `
      import { initJobQueue } from 'pg-bg-job-queue';
      import { deepStrictEqual as same } from 'node:assert';
      const client = async (name) => {
        const databaseConfig = { connectionString: process.env.DATABASE_URL, max: 1 };
        const queue = await initJobQueue({ databaseConfig });
        let asked = 0;
        for (let round = 0; Date.now() < until || round < 2; round++) {
          const key = name + ' ' + round;
          const job = { job_type: key, payload: { key } };
          const id = await queue.addJob(job);
          const of = async (id) => (({ id, job_type, payload, status }) =>
            ({ id, job_type, payload, status }))(await queue.getJob(id));
          same(await of(id), { id, ...job, status: 'pending' });
          same(await queue.getJob(-id).catch((error) => error.code), 'INVALID_ARGUMENT');
          same(await queue.getJob(2 ** 40 + id), null);
          await queue.cancelJob(id);
          same(await of(id), { id, ...job, status: 'cancelled' });
          await queue.retryJob(id);
          const many = Array.from({ length: 1 + round % 4 }, (_, n) => ({ ...job, payload: n }));
          const ids = await queue.addJobs(many);
          same(ids.length, many.length);
          same((await of(ids.at(-1))).payload, many.length - 1);
          const ran = [];
          const handlers = { [key]: async (payload) => void ran.push(payload) };
          same(await queue.createProcessor(handlers, { batchSize: 2, jobType: key }).start(), 2);
          same(ran, [job.payload, 0]);
          same(await queue.cancelAllUpcomingJobs({ job_type: key }), many.length - 1);
          asked += 12;
        }
        await queue.close();
        return asked;
      };
      const until = Date.now() + 2_000;
      const clients = Array.from({ length: 10 }, (_, n) => client(process.pid + '/' + n));
      const asked = await Promise.all(clients);
      console.log(asked.reduce((a, b) => a + b));
    `;
    const env = { DATABASE_URL: throughPooler(jobs.database.directUrl, pooler.address) };
    const processes = Array.from({ length: 4 }, () => spawnScript(script, { env }));
    const results = await Promise.all(processes.map(({ exited }) => exited));
    for (const { code, stdout, stderr } of results) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(Number(stdout)).toBeGreaterThan(200);
    }
    const connections = await jobs.database.query(
      `select from pg_stat_activity
      where datname = current_database() and application_name = 'pg-bg-job-queue'`,
    );
    expect(connections.length).toBeLessThanOrEqual(serverConnections);
  });

  test('nothing of it is left in the sessions that it shares', async () => {
    const queues = await Promise.all(
      Array.from({ length: 5 }, () => openQueue({ databaseConfig: { statement_timeout: 4_321 } })),
    );
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        queues.map(async (queue) => {
          const id = await queue.addJob({ job_type: 'job', payload: round });
          await queue.createProcessor({ job: async () => {} }).start();
          // One that fails, too.
          await queue
            .addJob({ job_type: 'job', payload: 1, run_at: new Date(8.64e15) })
            .catch(String);
          await queue.getJob(id);
        }),
      );
    }
    const settings = `select name, setting from pg_settings where name ~ '^(enable_|jit$|statement_timeout)'
      or name in ('transaction_isolation', 'default_transaction_isolation') order by name`;
    const usual = await jobs.database.query(settings);

    // All of them at once, held by transactions.
    const others = await Promise.all(
      Array.from({ length: serverConnections }, async () => {
        const connectionString = throughPooler(jobs.database.directUrl, pooler.address);
        const other = new Client({ connectionString });
        await other.connect();
        await other.query('begin');
        return other;
      }),
    );
    const pids = new Set<number>();
    for (const other of others) {
      pids.add((await other.query('select pg_backend_pid() as pid')).rows[0].pid);
      expect((await other.query(settings)).rows).toEqual(usual);
      expect((await other.query('select name from pg_prepared_statements')).rows).toEqual([]);
      await other.end();
    }
    expect(pids.size).toBe(serverConnections);
  });

  test('a worker in the background polls, and is told of a cancellation when it extends the lease', async () => {
    const queue = await openQueue();
    const ran = new Journal<number>();
    const cancelled = new Journal<JobQueueError>();
    const started = new Journal<number>();
    const handlers = {
      job: async (n: number) => ran.note(n),
      long: () => {
        const { id, signal } = currentJob();
        started.note(id);
        return new Promise<void>((_, reject) => {
          signal.addEventListener('abort', () => {
            cancelled.note(signal.reason);
            reject(signal.reason);
          });
        });
      },
    };
    const processor = queue.createProcessor(handlers, { pollInterval: 50, leaseDuration: 1_000 });
    processor.startInBackground();
    await jobs.insert(20);
    await ran.reaches(20);
    const other = await openQueue();
    const id = await other.addJob({ job_type: 'long', payload: null });
    await started.reaches(1);
    await other.cancelJob(id);
    await cancelled.reaches(1);
    expect(cancelled.notes[0]).toMatchObject({ code: 'CANCELLED' });
    await jobs.untilStatus(id, 'cancelled');
    await processor.stopAndDrain();
  });

  test('the tables are made and reverted by the CLI, by several at once too', async () => {
    await using bare = await createDatabase({ migrated: false });
    const url = throughPooler(bare.directUrl, pooler.address);
    await Promise.all([1, 2, 3].map(() => cliOutput(['migrate'], { url })));
    expect(await cliOutput(['migrate', 'status'], { url })).not.toMatch(/pending/i);
    const queue = await openQueue({ databaseConfig: { database: bare.name } });
    const id = await queue.addJob({ job_type: 'job', payload: 1 });
    expect(await queue.getJob(id)).toMatchObject({ id, payload: 1 });
    await cliOutput(['migrate', 'down', '1000'], { url });
    await rejection(queue.getJob(id), 'NOT_MIGRATED');
  });

  describe("without pooler: 'transaction'", () => {
    const unaware = (databaseConfig: DatabaseConfig = {}) =>
      openQueue({ pooler: 'none', databaseConfig });

    test('an error tells of it', async () => {
      const queues = await Promise.all(Array.from({ length: 5 }, () => unaware()));
      const errors = new Map<unknown, JobQueueError>();
      const isTold = async () => {
        const calls = queues.flatMap((queue) => [queue.getJob(1), queue.getAllJobs()]);
        await Promise.all(
          calls.map((call: Promise<unknown>) =>
            call.catch((error: JobQueueError) => errors.set(error.sqlState, error)),
          ),
        );
        return errors.has('42P05') || errors.has('26000');
      };
      await until(isTold, { what: 'statements meet' });
      for (const state of ['42P05', '26000']) {
        const error = errors.get(state);
        if (!error) continue;
        expect(error).toMatchObject({ code: 'CONNECTION_FAILED' });
        expect(error.message).toContain("initJobQueue({ pooler: 'transaction' })");
      }
    });

    test.each<DatabaseConfig>([{ options: '-c search_path=jobs' }, { lock_timeout: 1_000 }])(
      'an error tells that the pooler takes no %o',
      async (databaseConfig) => {
        const queue = await unaware(databaseConfig);
        const error = await rejection(
          queue.getJob(1),
          'CONNECTION_FAILED',
          /options.*lock_timeout/,
        );
        expect(error.message).toContain("pooler: 'transaction'");
      },
    );
  });
});
