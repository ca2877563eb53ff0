/**
 * The cost of the statements at a million rows. A queue's statistics are always wrong, so the plans must
 * be right with all of these: for a table that was empty when it was analysed, for one that never
 * was, for one that was when every job had ended, and for plans kept from before the table grew.
 */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { initJobQueue, type JobQueue, type ProcessorOptions } from '../index.js';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { cliOutput } from './helpers/cli.js';
import { explainEverything, type Plan, PlanLog } from './helpers/plans.js';
import { deferred, until } from './helpers/until.js';

const absentTypes = Array.from({ length: 19 }, (_, n) => `absent_${n}`);
const manyTypes = ['ours_a', ...absentTypes];
const types = ['ours_a', 'ours_b', 'other', 'waiting', ...absentTypes];

/** Claims up to `batchSize` jobs and settles them. */
function claim({ batchSize = 10, ...options }: ProcessorOptions): Run {
  const handlers = Object.fromEntries(types.map((type) => [type, async () => {}]));
  return (queue) =>
    queue.createProcessor(handlers, { batchSize, concurrency: batchSize, ...options }).start();
}

type Run = (queue: JobQueue) => Promise<unknown>;

interface Operation {
  run: Run;
  /** The expected result, if that shows whether the operation did its work. */
  result?: number;
  /** How it may read the table. */
  indexes: string[];
  /** The most that each of its statements may look at. */
  rows: number;
  sorted?: number;
  buffers: number;
}

const byId = 'job_queue_pkey';
const byPriority = 'job_queue_ready';
const byType = 'job_queue_ready_by_type';
const byStatus = 'job_queue_by_status';
const byLease = 'job_queue_leases';
const pending = 'job_queue_pending';
const byKey = 'job_queue_keys';
const windows = 'job_queue_windows_pkey';
/** The running jobs of the fixture. */
const running = 310;

/** A claim by type offers four times the jobs that it takes, and a hundred more, of each type. */
const operations: Record<string, Operation> = {
  'claim of 10': {
    run: claim({}),
    result: 10,
    indexes: [byId, byPriority, byLease],
    rows: 40,
    buffers: 600,
  },
  'claim of 100': {
    run: claim({ batchSize: 100 }),
    result: 100,
    indexes: [byId, byPriority, byLease],
    rows: 300,
    buffers: 5000,
  },
  'claim of 10 of a type': {
    run: claim({ jobType: 'ours_a' }),
    result: 10,
    indexes: [byId, byType, byLease],
    rows: 200,
    sorted: 150,
    buffers: 800,
  },
  'claim of 10 of two types': {
    run: claim({ jobType: ['ours_a', 'ours_b'] }),
    result: 10,
    indexes: [byId, byType, byLease],
    rows: 400,
    sorted: 300,
    buffers: 1000,
  },
  'claim of 100 of two types': {
    run: claim({ jobType: ['ours_a', 'ours_b'], batchSize: 100 }),
    result: 100,
    indexes: [byId, byType, byLease],
    rows: 1300,
    sorted: 1000,
    buffers: 6000,
  },
  'claim of 10 of twenty types': {
    run: claim({ jobType: manyTypes }),
    result: 10,
    indexes: [byId, byType, byLease],
    rows: 200,
    sorted: 150,
    buffers: 1200,
  },
  'claim of types that have nothing due': {
    run: claim({ jobType: ['waiting', 'absent_0'] }),
    result: 0,
    indexes: [byId, byType, byLease],
    rows: 10,
    buffers: 100,
  },
  addJob: {
    run: (queue) => queue.addJob({ job_type: 'ours_a', payload: {} }),
    indexes: [],
    rows: 0,
    // The ids of the new rows are put in order.
    sorted: 2,
    buffers: 300,
  },
  'addJob with a key': {
    run: (queue) => queue.addJob({ job_type: 'ours_a', payload: {}, idempotency_key: 'key' }),
    indexes: [byKey, windows],
    // The second time, the first job is found.
    rows: 1,
    buffers: 400,
  },
  'addJobs with keys, some of them held': {
    run: async (queue) => {
      const of = (n: number, hold?: number) => ({
        job_type: 'ours_a',
        payload: {},
        idempotency_key: `key ${n}`,
        idempotency_hold: hold,
      });
      await queue.addJobs([of(1), of(2), of(3)]);
      await queue.addJobs([of(1), of(2, 60_000), of(3), of(4), of(5, 60_000)]);
    },
    indexes: [byKey, windows, 'job_queue_windows_by_end'],
    rows: 50,
    sorted: 50,
    buffers: 2000,
  },
  getJob: { run: (queue) => queue.getJob(500_000), indexes: [byId], rows: 1, buffers: 10 },
  'getJobsByStatus, of few': {
    run: (queue) => queue.getJobsByStatus('processing', 10),
    indexes: [byLease],
    // All that run are looked at.
    rows: running,
    sorted: running,
    buffers: 400,
  },
  'getJobsByStatus, of many': {
    run: (queue) => queue.getJobsByStatus('completed', 100, 1000),
    indexes: [byStatus],
    rows: 1100,
    buffers: 1300,
  },
  'getJobsByStatus, of what waits': {
    run: (queue) => queue.getJobsByStatus('pending', 100, 1000),
    indexes: [pending],
    rows: 1100,
    buffers: 1300,
  },
  getAllJobs: {
    run: (queue) => queue.getAllJobs(100, 50),
    indexes: [byStatus, byLease, pending],
    // This many of each status, the cost of finding each status, and the running jobs.
    rows: 4 * 152 + running,
    sorted: 4 * 150 + running,
    buffers: 2000,
  },
  cancelJob: { run: (queue) => queue.cancelJob(700_000), indexes: [byId], rows: 1, buffers: 50 },
  retryJob: {
    run: (queue) => queue.retryJob(700_000),
    indexes: [byId, byKey],
    rows: 3,
    buffers: 80,
  },
  // All that are processing are looked at: see the fixture.
  reclaimStuckJobs: {
    run: (queue) => queue.reclaimStuckJobs(),
    indexes: [byId, byLease],
    rows: 700,
    buffers: 2000,
  },
  // A batch is 5,000 jobs, each of which is found, locked if it is free, and deleted.
  cleanupOldJobs: {
    run: (queue) => queue.cleanupOldJobs(),
    indexes: [byId, byStatus],
    rows: 15_000,
    sorted: 5000,
    buffers: 60_000,
  },
};

/** All but the one that walks all completed jobs, which is tried less often. */
const { cleanupOldJobs: _, ...quickOperations } = operations;

/** The operations that also run on clients of the caller's, with the planner settings of their owner. */
const { addJob, getJob, cancelJob, retryJob } = operations as Record<string, Operation>;
const callersOperations = { addJob, getJob, cancelJob, retryJob } as Record<string, Operation>;

/** Jobs of each kind by the hundred thousand, mixed, and a few that are processing. */
const fixture = `
  insert into job_queue
    (job_type, payload, status, priority, run_at, created_at, updated_at, attempts)
  select
    case when k < 60 then (array['ours_a', 'ours_b', 'other', 'waiting'])[1 + n % 4]
      when k < 80 then 'waiting' when k < 95 then 'other' when n % 2 = 0 then 'ours_a'
      else 'ours_b' end,
    jsonb_build_object('n', n),
    case when k < 25 then 'completed' when k < 55 then 'cancelled' when k < 60 then 'failed'
      else 'pending' end,
    case when k between 60 and 79 then 100 else 0 end,
    now() + case when k between 60 and 79 then 1 when k < 95 then -2 else -1 end
      * interval '1 hour',
    past, past,
    case when k < 60 then 3 else 0 end
  from generate_series(0, 999999) n,
    lateral (select n * 37 % 100 as k, now() - (1e6 - n) * interval '3 seconds' as past) job;

  insert into job_queue
    (job_type, payload, status, attempts, locked_at, locked_by, lease_expires_at)
  select 'other', '{}', 'processing', 1, now() - case when stuck then 1 else 0 end
      * interval '1 hour', 'worker', case when not stuck then now() + interval '1 hour' end
  from generate_series(1, 300) n, lateral (select n <= 10 as stuck) job;
`;

const noStatistics = "delete from pg_statistic where starelid = 'job_queue'::regclass";
const claimedSize = (pages: number, rows: number) =>
  `update pg_class set relpages = ${pages}, reltuples = ${rows} where oid = 'job_queue'::regclass`;

/** The states of the statistics, and how they come about. */
const statistics: Record<string, string> = {
  'of a table that was new': `${noStatistics}; ${claimedSize(0, 0)}`,
  'of a table whose rows had all been deleted': `${noStatistics}; ${claimedSize(1000, 0)}`,
  'that were never made': `${noStatistics}; ${claimedSize(0, -1)}`,
  'that are fresh': 'analyze job_queue',
  // As autovacuum leaves them when a backlog is done, for the next one.
  'of a time when every job had ended': `
    analyze job_queue;
    update pg_statistic
    set stanullfrac = 1, stadistinct = 0, stakind1 = 0, stakind2 = 0, stakind3 = 0,
      stanumbers1 = null, stanumbers2 = null, stanumbers3 = null,
      stavalues1 = null, stavalues2 = null, stavalues3 = null
    where starelid = 'job_queue'::regclass and staattnum = (
      select attnum from pg_attribute where attrelid = starelid and attname = 'ready_at'
    )`,
};

/** Jobs that wait for the future, each at one of a thousand priorities above all others. */
const priorities = `
  insert into job_queue (job_type, payload, priority, run_at)
  select 'ours_' || chr(97 + n / 1000 % 2), '{}', 1000 + n % 1000, now() + interval '1 day'
  from generate_series(0, 9999) n;
  analyze job_queue;
`;

/** Each priority is looked at once, by each type: a few pages down the index, to no or one row. */
const acrossPriorities = Object.fromEntries(
  Object.entries({
    'claim of 10': 1,
    'claim of 10 of a type': 1,
    'claim of 10 of two types': 2,
  }).map(([name, types]) => {
    const { rows, buffers, ...operation } = operations[name] as Operation;
    const bounds = { rows: rows + 1000 * types, buffers: buffers + 15_000 * types };
    return [name, { ...operation, ...bounds }];
  }),
);

/**
 * A session of the package's own keeps one plan for each statement, which is made for any values. Behind a
 * pooler, the values are in the statement, and it is planned with them each time.
 */
type Plans = (typeof everyPlans)[number];
const everyPlans = ['kept', 'made each time'] as const;

describe.each([18, 14] as const)('on Postgres %i', { timeout: 120_000 }, (version) => {
  let server: EmbeddedPostgres;
  let log: PlanLog;
  /** The fixture's own connection, which logs nothing. */
  let client: Client;
  const queues: JobQueue[] = [];
  const finished = deferred();

  /** A queue with one connection, which it keeps, and which has a name of its own in the log. */
  async function openQueue(name: string, plans: Plans = 'kept'): Promise<JobQueue> {
    const queue = await initJobQueue({
      pooler: plans === 'made each time' ? 'transaction' : 'none',
      databaseConfig: {
        connectionString: server.url(),
        application_name: name,
        max: 1,
        idleTimeoutMillis: 0,
      },
    });
    queues.push(queue);
    await queue.getJob(1);
    // Before it, a session of the package's own has been set up.
    expect(log.take(name).at(-1)).toMatchObject({ isGeneric: plans === 'kept' });
    return queue;
  }

  /** Runs operations, and returns the reads beyond their bounds. */
  async function excesses(
    name: string,
    queue: JobQueue,
    of: Record<string, Operation> = quickOperations,
  ): Promise<string[]> {
    const found = new Set<string>();
    for (const [operation, { run, result, indexes, sorted = 0, ...most }] of Object.entries(of)) {
      // Enough to see the fault, and a wrong plan takes its time.
      if (found.size > 2) break;
      log.take(name);
      const got = await run(queue);
      if (result !== undefined && got !== result) found.add(`${operation}: resolved to ${got}`);
      const plans = log.take(name);
      if (plans.length === 0) found.add(`${operation}: is not in the log`);
      for (const plan of plans) {
        const isMeant = (scan: string) =>
          indexes.some((index) =>
            [`Index Scan ${index}`, `Index Only Scan ${index}`].includes(scan),
          );
        const excess = [
          ...plan.scans.filter((scan) => !isMeant(scan)),
          plan.rowsRead > most.rows && `${plan.rowsRead} rows`,
          plan.rowsSorted > sorted && `${plan.rowsSorted} rows sorted`,
          plan.buffers > most.buffers && `${plan.buffers} buffers`,
        ].filter(Boolean);
        if (excess.length > 0) found.add(`${operation}: ${excess.join(', ')}`);
      }
    }
    return [...found];
  }

  let grown: JobQueue;

  /** The server process behind the queue that was there before the table grew. */
  async function grownSession(): Promise<unknown> {
    const { rows } = await client.query(
      `select application_name, pid from pg_stat_activity
      where application_name = 'grown'`,
    );
    return rows;
  }

  beforeAll(async () => {
    server = await startPostgres({
      version,
      settings: {
        ...explainEverything,
        autovacuum: 'off',
        checkpoint_timeout: '1h',
        max_wal_size: '8GB',
        shared_buffers: '512MB',
      },
    });
    log = new PlanLog(server.logFile, 'job_queue');
    await cliOutput(['migrate'], { url: server.url() });
    client = new Client({ connectionString: server.url() });
    await client.connect();
    await client.query('set auto_explain.log_min_duration = -1; analyze job_queue');

    // Runs whose leases are extended meanwhile.
    const holder = await openQueue('holder');
    for (let n = 0; n < 10; n++) await holder.addJob({ job_type: 'held', payload: n });
    const atOnce = { batchSize: 10, concurrency: 10 };
    void holder.createProcessor({ held: () => finished.promise }, atOnce).start();
    await until(async () => (await holder.getJobsByStatus('processing')).length === 10);

    grown = await openQueue('grown');
    for (let n = 0; n < 7; n++) {
      for (const { run } of Object.values(operations)) await run(grown);
    }
    const before = await grownSession();
    await client.query(fixture);
    expect(await grownSession()).toEqual(before);
  }, 120_000);

  afterAll(async () => {
    finished.resolve();
    await Promise.all(queues.map((queue) => queue.close()));
    await client.end();
    await server.stop();
  });

  test('with plans made while the table was empty', async () => {
    const before = await grownSession();
    expect(await excesses('grown', grown, operations)).toEqual([]);
    expect(await grownSession()).toEqual(before);
  });

  describe.each(Object.entries(statistics))('with statistics %s', (name, statements) => {
    beforeAll(() => client.query(statements));

    test.each(everyPlans)('and plans %s', async (plans) => {
      const queue = await openQueue(`${name}, ${plans}`, plans);
      expect(await excesses(`${name}, ${plans}`, queue)).toEqual([]);
    });

    test("on a connection of the caller's", async () => {
      const caller = new Client({ connectionString: server.url(), application_name: name });
      await caller.connect();
      const queue = await openQueue(`${name}, own`);
      const onCaller = new Proxy(queue, {
        get: (_, method) => Reflect.get(queue, method).bind(queue, caller),
      });
      expect(await excesses(name, onCaller, callersOperations)).toEqual([]);
      await caller.end();
    });
  });

  test('with a thousand priorities ahead of what is due', async () => {
    await client.query(priorities);
    for (const plans of everyPlans) {
      const queue = await openQueue(`priorities, ${plans}`, plans);
      expect(await excesses(`priorities, ${plans}`, queue, acrossPriorities)).toEqual([]);
    }
  });

  test('leases are extended by id', async () => {
    const isExtension = ({ sql }: Plan) => /^with owned as .* extended as /s.test(sql);
    const extensions: Plan[] = [];
    const look = () => extensions.push(...log.take('holder').filter(isExtension));
    await until(look, { timeoutMs: 20_000, what: 'a lease was extended' });
    for (const { scans, rowsRead, buffers } of extensions) {
      // To see which runs still own their jobs, which of those are not locked, and to write.
      expect(new Set(scans)).toEqual(new Set([`Index Scan ${byId}`]));
      expect(rowsRead).toBeLessThanOrEqual(3 * 10);
      expect(buffers).toBeLessThan(600);
    }
  });
});
