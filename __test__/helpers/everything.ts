/** All that can be asked of a queue, each statement of it, in every way in which it is sent. */
import { Pool } from 'pg';
import { createRouteHandler, currentJob, initJobQueue, type JobQueue } from '../../index.js';
import { deferred, until } from './until.js';

export interface Role {
  /** The connection string of a role that uses the queue. */
  url: string;
  schema: string;
  pooler: 'none' | 'transaction';
}

/** The statements of the table's owner, by hand and to monitor the queue. */
export interface Hand {
  query(sql: string): Promise<Record<string, unknown>[]>;
}

/**
 * Does it all, in steps. A rejection ends its step alone: the next may still do its
 * work. Resolves to the errors that were thrown and reported.
 */
export async function doEverything(role: Role, hand: Hand): Promise<unknown[]> {
  const pool = new Pool({ connectionString: role.url });
  const open = () =>
    initJobQueue({
      databaseConfig: { connectionString: role.url },
      schema: role.schema,
      pooler: role.pooler,
    });
  const [queue, another] = [await open(), await open()];
  const failures: unknown[] = [];
  const table = `${role.schema}.job_queue`;
  const report = (error: unknown) => {
    // Some of the jobs have no attempts left, which is told.
    if (!/has no attempts left/.test(String(error))) failures.push(error);
  };
  const all: All = { queue, another, pool, hand, role, table, report };
  try {
    for (const step of steps) {
      await hand.query(`truncate ${table}`);
      await step(all).catch(all.report);
    }
  } finally {
    await Promise.all([queue.close(), another.close()]);
    await pool.end();
  }
  return failures;
}

interface All {
  queue: JobQueue;
  another: JobQueue;
  pool: Pool;
  hand: Hand;
  role: Role;
  table: string;
  report(error: unknown): void;
}

const job = { job_type: 'a', payload: { n: 1 } };
const later = () => new Date(Date.now() + 3_600_000);

const steps: ((all: All) => Promise<void>)[] = [adding, fromSql, reading, changing, tidying];
steps.push(batches, inBackground, leases, cancelling, completing, failing, recovering, route);

async function adding({ queue, pool }: All): Promise<void> {
  await queue.addJob(job);
  await queue.addJob({ ...job, run_at: later(), timeout_ms: 1_000 });
  await queue.addJobs([job, { ...job, run_at: later() }]);
  await queue.addJobs([{ ...job, run_at: later() }, job]);
  await queue.addJobs(Array.from({ length: 1_001 }, () => job));
  await queue.addJob(job, { db: pool });
  await queue.addJobs(pool, [job, { ...job, run_at: later() }]);
}

async function fromSql({ pool, role }: All): Promise<void> {
  await pool.query(`select ${role.schema}.add_job('a', '1'::jsonb)`);
  await pool.query(`select ${role.schema}.add_job('a', '1'::jsonb, 3, 0, pg_catalog.now(), 1000)`);
}

async function reading({ queue, pool, hand, table }: All): Promise<void> {
  const ids = await queue.addJobs([job, job, job]);
  await hand.query(`update ${table} set status = 'mine' where id = ${ids[1]}`);
  for (const db of [[], [pool]] as const) {
    const ask = queue as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    await ask.getJob?.(...db, ids[0]);
    await ask.getAllJobs?.(...db);
    for (const status of ['pending', 'processing', 'failed']) {
      await ask.getJobsByStatus?.(...db, status);
    }
  }
  // A row that cannot be read has the others read one by one.
  await hand.query(`alter table ${table} enable row level security;
    create policy readable on ${table} using (1 / (id - ${ids[2]}) is not null)`);
  try {
    await queue.getAllJobs().catch(() => {});
  } finally {
    await hand.query(`drop policy readable on ${table};
      alter table ${table} disable row level security`);
  }
}

async function changing({ queue, pool, hand, table }: All): Promise<void> {
  for (const db of [[], [pool]] as const) {
    const [id, other] = await queue.addJobs([job, { ...job, priority: 7, run_at: later() }]);
    const ask = queue as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    await ask.cancelJob?.(...db, id);
    await ask.retryJob?.(...db, id);
    await ask.cancelAllUpcomingJobs?.(...db, { job_type: 'a', priority: 7, run_at: later() });
    await ask.cancelAllUpcomingJobs?.(...db);
    await hand.query(`update ${table} set status = 'failed' where id = ${other}`);
    await ask.retryJob?.(...db, other);
  }
}

async function tidying({ queue, pool, hand, table }: All): Promise<void> {
  const ask = queue as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const db of [[], [pool]] as const) {
    await hand.query(`insert into ${table} (job_type, payload, status, attempts, updated_at, locked_at)
      select 'a', '1', status, attempts, now() - interval '1 day', now() - interval '1 day'
      from (values ('processing', 1), ('processing', 3), ('completed', 1)) row (status, attempts)`);
    await ask.reclaimStuckJobs?.(...db);
    await ask.cleanupOldJobs?.(...db, 0);
  }
}

const handlers = {
  a: async () => {},
  b: async () => Promise.reject(new Error('no')),
  c: async () => Promise.reject(new Error('no')),
};

async function batches({ queue, hand, report, table }: All): Promise<void> {
  for (const jobType of [undefined, 'a', ['a', 'b', 'c']]) {
    for (const removeOnComplete of [false, true]) {
      await queue.addJobs([job, { ...job, job_type: 'b' }, { ...job, job_type: 'c' }]);
      await hand.query(`update ${table} set attempts = 3 where id % 5 = 0`);
      const options = { jobType, removeOnComplete, onError: report };
      await queue.createProcessor(handlers, options).start();
    }
  }
}

/** Claims, settles, and does both at once. */
async function inBackground({ queue, report }: All): Promise<void> {
  for (const jobType of [undefined, 'a', ['a', 'b', 'c']]) {
    await queue.addJobs(Array.from({ length: 30 }, () => job));
    const ended = deferred();
    let left = 30;
    const a = async () => {
      if (--left === 0) ended.resolve();
    };
    const onError = (error: unknown) => {
      report(error);
      ended.resolve();
    };
    const options = { jobType, batchSize: 4, pollInterval: 10, onError };
    const processor = queue.createProcessor({ ...handlers, a }, options);
    processor.startInBackground();
    await ended.promise;
    await processor.stopAndDrain(5_000);
  }
}

/** A batch whose handlers go on until `release`, or until it has failed. */
function held({ queue, report }: All, options = {}) {
  const [begun, released] = [deferred(), deferred()];
  const a = async () => {
    begun.resolve();
    await released.promise;
  };
  const processor = queue.createProcessor({ a }, { ...options, onError: report });
  const ended = processor.start().then(() => {}, report);
  return {
    begun: Promise.race([begun.promise, ended]),
    processor,
    async release() {
      released.resolve();
      await ended;
    },
  };
}

async function leases(all: All): Promise<void> {
  const { table } = all;
  await all.queue.addJobs([job, job]);
  const batch = held(all, { leaseDuration: 1_000, concurrency: 1 });
  await batch.begun;
  const [first] = await all.hand.query(`select max(lease_expires_at)::text as at from ${table}`);
  const extended = async () => {
    const [now] = await all.hand.query(`select max(lease_expires_at)::text as at from ${table}`);
    return now?.at !== first?.at;
  };
  await until(extended, { timeoutMs: 3_000 }).catch(all.report);
  // What has not begun is handed back.
  batch.processor.stop();
  await batch.release();
}

/** In this process, from another, and of one whose worker is lost. */
async function cancelling(all: All): Promise<void> {
  const { table } = all;
  for (const queue of [all.queue, all.another]) {
    const id = await all.queue.addJob(job);
    const batch = held(all, { cancelGrace: 0, leaseDuration: 1_000 });
    await batch.begun;
    await queue.cancelJob(id);
    await batch.release();
    await all.hand.query(`update ${table} set status = 'processing', locked_at = now() - interval '2 s',
      lease_expires_at = now() - interval '1 s', cancel_requested_at = now() where id = ${id}`);
    await queue.cancelJob(id);
  }
}

async function completing({ queue, pool, report }: All): Promise<void> {
  await queue.addJobs([job, job]);
  let end = 'commit';
  const a = async () => {
    const client = await pool.connect();
    try {
      await client.query('begin');
      await currentJob().completeIn(client);
      await client.query(end);
      end = 'rollback';
    } finally {
      client.release(true);
    }
  };
  const options = { concurrency: 1, onError: report };
  await queue.createProcessor({ a }, options).start();
  end = 'commit';
  await queue.addJob(job);
  await queue.createProcessor({ a }, { ...options, removeOnComplete: true }).start();
}

async function failing({ queue, report }: All): Promise<void> {
  const last = { ...job, max_attempts: 1 };
  const buried = { ...last, dead_letter_job_type: 'buried' };
  await queue.addJob(buried);
  await queue.addJobs([
    last,
    buried,
    { ...buried, retry_delay_ms: 5, retry_factor: 2, max_attempts: 2 },
  ]);
  const a = () => Promise.reject(new Error('no'));
  const options = { onError: report, onJobFailed: () => {} };
  const processor = queue.createProcessor({ a, buried: async () => {} }, options);
  while ((await processor.start()) > 0) {}
}

async function recovering({ queue, hand, report, table }: All): Promise<void> {
  await hand.query(`insert into ${table}
      (job_type, payload, status, attempts, locked_at, locked_by, lease_expires_at)
    select 'a', '1', 'processing', attempts, now() - interval '3 min', 'lost', now() - interval '2 min'
    from (values (1), (3)) row (attempts)`);
  const lost = async () => {
    await queue.createProcessor(handlers, { onError: report }).start();
    return (await hand.query(`select from ${table} where status = 'processing'`)).length === 0;
  };
  await until(lost, { timeoutMs: 3_000 }).catch(report);
}

async function route({ queue, hand, table, report }: All): Promise<void> {
  await queue.addJobs([job, { ...job, run_at: later() }]);
  await hand.query(
    `insert into ${table} (job_type, payload, status) values ('a', '1', 'completed')`,
  );
  const secret = 'correct horse battery staple';
  const { GET } = createRouteHandler(async () => queue, handlers, {
    secret,
    maxDuration: 2,
    daysToKeep: 0,
    onError: report,
  });
  const headers = { authorization: `Bearer ${secret}` };
  await GET(new Request('https://app.example/api/cron/jobs', { headers }));
}
