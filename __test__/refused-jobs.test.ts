/**
 * Jobs that Postgres refuses to let be changed: by a foreign key, a unique index, a trigger, or for their data.
 * Each delays itself alone, its run is not repeated for ever, and it is reported.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { JobQueueError, ProcessorOptions } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { openProxy } from './helpers/network.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

afterEach(() =>
  jobs.database.query(`
    drop table if exists reports;
    drop index if exists one_of_a_kind;
    drop trigger if exists refuse on job_queue;
    drop function if exists refuse();
    truncate job_queue`),
);

/** A trigger that raises on what `condition` says of `old` and `new`. */
async function refuse(
  condition: string,
  { on = 'update', errcode = 'P0001' }: { on?: 'update' | 'delete'; errcode?: string } = {},
): Promise<void> {
  await jobs.database.query(`
    create function refuse() returns trigger language plpgsql as $$
    begin
      if ${condition} then raise 'no' using errcode = '${errcode}'; end if;
      return coalesce(new, old);
    end $$;
    create trigger refuse before ${on} on job_queue for each row execute function refuse()`);
}

const permit = () => jobs.database.query('drop trigger refuse on job_queue');

/** Runs batches until one finds nothing; notes what ran and what onError was told. */
async function runAll(options: ProcessorOptions = {}) {
  const queue = await jobs.openQueue();
  const ran: unknown[] = [];
  const told: JobQueueError[] = [];
  const processor = queue.createProcessor(
    { job: async (payload: unknown) => void ran.push(payload) },
    { onError: (error) => void told.push(error), ...options },
  );
  while ((await processor.start()) > 0) {}
  return { ran, told, queue };
}

const tenth = `(select id from job_queue where payload = to_jsonb(10))`;

describe('an outcome', () => {
  test('a job that is referred to is kept as completed, and the others are removed', async () => {
    await jobs.insert(10);
    await jobs.database.query(`
      create table reports (job_id bigint references job_queue (id));
      insert into reports values (${tenth})`);
    const { ran, told } = await runAll({ removeOnComplete: true, leaseDuration: 2_000 });
    expect(ran).toHaveLength(10);
    expect(await jobs.rows()).toMatchObject([{ payload: 10, status: 'completed', attempts: 1 }]);
    expect(told).toMatchObject([{ sqlState: expect.stringMatching('23503|23001') }]);
    expect(told[0]?.message).toMatch('kept as completed');
  });

  test.each([
    ['completed', `new.status = 'completed'`, async () => {}],
    ['failed', `new.status = 'failed' and new.error_history -> -1 ->> 'name' = 'Error'`, fail],
  ])(
    '%s of one job, refused, has failed for good and harms no other',
    async (_, condition, end) => {
      await jobs.insert(10);
      await refuse(`old.payload = to_jsonb(10) and ${condition}`, { errcode: '23514' });
      const ran: unknown[] = [];
      const told: JobQueueError[] = [];
      const queue = await jobs.openQueue();
      const job = async (payload: unknown) => {
        ran.push(payload);
        await end();
      };
      const onError = (error: JobQueueError) => void told.push(error);
      await queue.createProcessor({ job }, { onError, onJobFailed: () => {} }).start();
      expect(ran).toHaveLength(10);
      const rows = await jobs.rows();
      const culprit = rows.find((row) => row.payload === 10);
      const others = rows.filter((row) => row !== culprit);
      expect(others.every((row) => row.status === (end === fail ? 'failed' : 'completed'))).toBe(
        true,
      );
      expect(culprit).toMatchObject({ status: 'failed', attempts: 3, next_attempt_at: null });
      expect(culprit?.error_history.at(-1)).toMatchObject({
        name: 'Refused',
        message: expect.stringContaining('23514'),
      });
      expect(told).toMatchObject([{ sqlState: '23514' }]);
    },
  );

  test('refused for a while in the background is written in the end, of one run', async () => {
    const [id = 0] = await jobs.insert(1);
    await refuse(`new.status = 'completed'`);
    const queue = await jobs.openQueue();
    const ran = new Journal();
    const told = new Journal<JobQueueError>();
    const processor = queue.createProcessor(
      { job: async (payload: unknown) => ran.note(payload) },
      { leaseDuration: 1_000, pollInterval: 50, onError: (error) => told.note(error) },
    );
    processor.startInBackground();
    await told.reaches(1);
    // It is kept under its lease, and the job says why it waits.
    await until(async () => (await jobs.row(id)).pending_reason);
    expect(await jobs.row(id)).toMatchObject({
      status: 'processing',
      pending_reason: expect.stringContaining('P0001'),
    });
    await until(async () => ((await jobs.row(id)).lease_left ?? 0) > 0.6);
    await permit();
    await jobs.untilStatus(id, 'completed');
    expect(ran.notes).toEqual([1]);
    expect(await jobs.row(id)).toMatchObject({ attempts: 1, pending_reason: null });
    await processor.stopAndDrain();
  });
});

describe('a job that may not be pending', () => {
  /** While it runs, another of its key is added. */
  async function duplicate(): Promise<void> {
    await jobs.database.query(`
      create unique index one_of_a_kind on job_queue (job_type, (payload ->> 'key'))
      where status = 'pending'`);
  }
  const key = `jsonb_build_object('key', 'a')`;

  test.each([1, 5])('is handed back all the same, with %i attempts', async (attempts) => {
    await duplicate();
    const [id = 0] = await jobs.insert(1, { payload: key, max_attempts: `${attempts}` });
    const queue = await jobs.openQueue();
    const told = new Journal<JobQueueError>();
    const begun = new Journal();
    const go = new Promise<void>(() => {});
    const job = async (payload: unknown) => {
      begun.note(payload);
      if (begun.notes.length === 1) await go;
    };
    // It has the only slot, so that the other one waits.
    const options = { concurrency: 1, onError: (error: JobQueueError) => told.note(error) };
    const processor = queue.createProcessor({ job }, options);
    processor.startInBackground();
    await begun.reaches(1);
    const [other = 0] = await jobs.insert(1, { payload: key });
    await processor.stopAndDrain(50);
    // It has failed and is due, as a job of a lost worker that may not be pending.
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 0 });
    expect(told.notes).toMatchObject([{ sqlState: '23505' }]);
    expect(told.notes[0]?.message).toMatch('has failed and is due again');
    while ((await processor.start()) > 0) {}
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await jobs.row(other)).toMatchObject({ status: 'completed' });
  });
});

async function fail(): Promise<void> {
  throw new Error('no');
}

describe('a claim', () => {
  test('passes over a retry that a unique index refuses, and tells of it once', async () => {
    await jobs.database.query(`
      create unique index one_of_a_kind on job_queue (job_type, (payload ->> 'key'))
      where status in ('pending', 'processing')`);
    const key = `jsonb_build_object('key', 'a')`;
    const [first = 0] = await jobs.insert(1, {
      payload: key,
      status: `'failed'`,
      attempts: '1',
      next_attempt_at: `now() - interval '1 minute'`,
    });
    const [second = 0] = await jobs.insert(1, {
      payload: key,
      run_at: `now() + interval '1 hour'`,
    });
    await jobs.insert(20);
    const { ran, told } = await runAll();
    expect(ran).toHaveLength(20);
    expect(told).toMatchObject([{ sqlState: '23505' }]);
    expect(told[0]?.message).toMatch(`job ${first}`);
    const culprit = await jobs.row(first);
    expect(culprit).toMatchObject({ status: 'failed', attempts: 1 });
    expect(culprit.pending_reason).toMatch('23505');
    expect(culprit.next_attempt_at?.getTime()).toBeGreaterThan(Date.now() - 60_000);
    expect(await jobs.row(second)).toMatchObject({ status: 'pending', attempts: 0 });
  });

  test('of jobs that refuse every change passes over them, and comes back to them', async () => {
    await jobs.insert(30);
    await refuse(`(old.payload #>> '{}')::int % 10 = 0`);
    const { ran, told, queue } = await runAll({ concurrency: 10 });
    expect(ran).toHaveLength(27);
    expect(told.length).toBeGreaterThanOrEqual(1);
    expect(told.every((error) => error.sqlState === 'P0001')).toBe(true);
    await permit();
    const done = new Journal();
    const processor = queue.createProcessor(
      { job: async (payload: unknown) => done.note(payload) },
      { pollInterval: 50 },
    );
    processor.startInBackground();
    await done.reaches(3);
    expect(new Set(done.notes)).toEqual(new Set([10, 20, 30]));
    await processor.stopAndDrain();
  });

  test('gets past any number of them', async () => {
    await jobs.insert(300, { priority: '9' });
    await jobs.insert(2);
    await refuse(`old.priority = 9 and new.status = 'processing'`);
    const queue = await jobs.openQueue();
    const ran: unknown[] = [];
    const job = async (payload: unknown) => void ran.push(payload);
    expect(await queue.createProcessor({ job }, { onError: () => {} }).start()).toBe(2);
    expect(ran).toEqual([1, 2]);
  });

  test('waits twice as long after each refusal', async () => {
    const [id = 0] = await jobs.insert(1);
    await refuse(`new.status = 'processing'`);
    const pauses: number[] = [];
    for (let time = 0; time < 4; time++) {
      await runAll();
      const [row] = await jobs.database.query<{ pause: number }>(
        'select extract(epoch from next_attempt_at - updated_at)::float8 as pause from job_queue',
      );
      pauses.push(Math.round(row?.pause ?? 0));
      await jobs.update('next_attempt_at = now()', id);
    }
    expect(pauses).toEqual([1, 2, 4, 8]);
  });

  test('lets a payload that takes long on its way cost no job an attempt', async () => {
    await using proxy = await openProxy(jobs.database.config);
    const { address } = proxy;
    // Some 5 MB a second: an exchange has two seconds.
    proxy.delay(() => 12);
    const [large = 0] = await jobs.insert(1, {
      payload: `to_jsonb(repeat('x', 24000000))`,
      priority: '1',
    });
    await jobs.insert(5);
    const queue = await jobs.openQueue({ databaseConfig: address });
    const ran: unknown[] = [];
    const processor = queue.createProcessor(
      { job: async (payload: unknown) => void ran.push(payload) },
      { leaseDuration: 12_000, pollInterval: 50, onError: () => {} },
    );
    processor.startInBackground();
    await until(async () => (await jobs.statuses()).completed === 6, { timeoutMs: 60_000 });
    expect(ran.slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
    const attempts = (await jobs.rows()).map(({ attempts }) => attempts);
    expect(attempts).toEqual([1, 1, 1, 1, 1, 1]);
    expect((await jobs.row(large)).error_history).toEqual([]);
    await processor.stopAndDrain();
  }, 90_000);
});

/** SQLSTATEs by which Postgres tells of itself, and which a trigger over one job can raise too. */
const OF_THE_SERVER = ['40001', '25006', '53100', '57P01', '08001'];

describe.each(OF_THE_SERVER)('a trigger that raises %s over one job', (errcode) => {
  test.each([
    ['is claimed', `new.status = 'processing' and old.status = 'pending'`],
    ['has completed', `new.status = 'completed'`],
  ])('when it %s harms no other', async (_, condition) => {
    const ids = await jobs.insert(9, { max_attempts: '1' });
    const [, , , culprit = 0] = ids;
    await refuse(`old.id = ${culprit} and ${condition}`, { errcode });
    const told: JobQueueError[] = [];
    const ran = new Journal();
    const queue = await jobs.openQueue();
    const processor = queue.createProcessor(
      { job: async (payload: unknown) => ran.note(payload) },
      { leaseDuration: 3_000, pollInterval: 50, onError: (error) => void told.push(error) },
    );
    processor.startInBackground();
    await until(async () => (await jobs.statuses()).completed === 8);
    await until(() => told.some(({ message }) => message.includes(`job ${culprit} `)));
    await permit();
    await until(async () => (await jobs.statuses()).completed === 9, { timeoutMs: 20_000 });
    await processor.stopAndDrain();
    expect(ran.notes).toHaveLength(9);
    expect((await jobs.rows()).map(({ attempts }) => attempts)).toEqual(Array(9).fill(1));
  });

  test('when it is added fails no other', async () => {
    await jobs.database.query(`
      create function refuse() returns trigger language plpgsql as $$
      begin
        if new.payload = '7' then raise 'no' using errcode = '${errcode}'; end if;
        return new;
      end $$;
      create trigger refuse before insert on job_queue for each row execute function refuse()`);
    const queue = await jobs.openQueue();
    const adding = Array.from({ length: 20 }, (_, payload) =>
      queue.addJob({ job_type: 'job', payload }),
    );
    const results = await Promise.allSettled(adding);
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused).toMatchObject([{ reason: { sqlState: errcode } }]);
    expect(results[7]?.status).toBe('rejected');
    expect(await jobs.rows()).toHaveLength(19);
  });
});

test('what keeps each job from being claimed is told with the first of them, and all run when it is over', async () => {
  await jobs.insert(25);
  await refuse(`new.status = 'processing'`, { errcode: '53100' });
  const queue = await jobs.openQueue();
  const told: JobQueueError[] = [];
  const onError = (error: JobQueueError) => void told.push(error);
  const options = { batchSize: 25, pollInterval: 200, onError };
  const processor = queue.createProcessor({ job: async () => {} }, options);
  expect(await processor.start()).toBe(0);
  expect(told).toMatchObject([{ code: 'DATABASE_ERROR', sqlState: '53100' }]);
  expect(told[0]?.message).toMatch(/jobs (\d+, )+\d+ and \d+ be claimed/);
  await permit();
  processor.startInBackground();
  await until(async () => (await jobs.statuses()).completed === 25);
  await processor.stopAndDrain();
  expect((await jobs.rows()).every(({ attempts }) => attempts === 1)).toBe(true);
});

test('an outcome that another server keeps from being written is written when that is back, at the end of a batch too', async () => {
  const [id = 0] = await jobs.insert(1);
  await refuse(`new.status = 'completed'`, { errcode: '08001' });
  const told: JobQueueError[] = [];
  const queue = await jobs.openQueue();
  const ended = queue
    .createProcessor({ job: async () => {} }, { onError: (error) => void told.push(error) })
    .start();
  await until(() => told.length > 0);
  await permit();
  await ended;
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
});

test('a trigger that ends its own backend over one job that is claimed keeps no other from running', async () => {
  const [, , culprit = 0] = await jobs.insert(6);
  await jobs.database.query(`
    create function refuse() returns trigger language plpgsql as $$
    begin
      if old.id = ${culprit} and new.status = 'processing' then
        perform pg_terminate_backend(pg_backend_pid());
      end if;
      return new;
    end $$;
    create trigger refuse before update on job_queue for each row execute function refuse()`);
  const queue = await jobs.openQueue();
  const processor = queue.createProcessor(
    { job: async () => {} },
    { pollInterval: 50, onError: () => {} },
  );
  processor.startInBackground();
  await until(async () => (await jobs.statuses()).completed === 5);
  await permit();
  await processor.stopAndDrain();
  expect((await jobs.row(culprit)).attempts).toBeLessThanOrEqual(1);
});

describe('the recovery of lost jobs', () => {
  test('brings back a job whose duplicate waits another way, and the others with it', async () => {
    await jobs.database.query(`
      create unique index one_of_a_kind on job_queue (job_type, (payload ->> 'key'))
      where status = 'pending'`);
    const lost = {
      status: `'processing'`,
      attempts: '1',
      locked_by: `'gone'`,
      locked_at: `now() - interval '2 minutes'`,
      lease_expires_at: `now() - interval '1 minute'`,
    };
    const key = `jsonb_build_object('key', 'a')`;
    const [first = 0] = await jobs.insert(1, { ...lost, payload: key });
    const [other = 0] = await jobs.insert(1, lost);
    await jobs.insert(1, { payload: key, run_at: `now() + interval '1 hour'` });
    const { ran, told } = await runAll();
    expect(new Set(ran)).toEqual(new Set([{ key: 'a' }, 1]));
    expect(told).toMatchObject([{ sqlState: '23505' }]);
    expect(told[0]?.message).toMatch(`job ${first}`);
    expect(await jobs.row(first)).toMatchObject({ status: 'completed', attempts: 2 });
    expect(await jobs.row(other)).toMatchObject({ status: 'completed', attempts: 2 });
  });

  test('that is refused whatever is tried is told, and harms no other', async () => {
    const lost = {
      status: `'processing'`,
      attempts: '1',
      locked_at: `now() - interval '2 minutes'`,
      lease_expires_at: `now() - interval '1 minute'`,
    };
    const ids = await jobs.insert(5, lost);
    await refuse('old.payload = to_jsonb(3)');
    const { ran, told } = await runAll();
    expect(ran).toHaveLength(4);
    expect(told).toMatchObject([{ sqlState: 'P0001' }]);
    expect(await jobs.row(ids[2] ?? 0)).toMatchObject({ status: 'processing', attempts: 1 });
  });
});

test('an extension that one job refuses extends the leases of the others', async () => {
  const ids = await jobs.insert(5);
  await refuse(
    `old.payload = to_jsonb(3) and old.status = 'processing' and new.status = 'processing'`,
  );
  const queue = await jobs.openQueue();
  const begun = new Journal();
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const job = async (payload: unknown) => {
    begun.note(payload);
    await released;
  };
  const ran = queue
    .createProcessor({ job }, { concurrency: 5, leaseDuration: 1_000, onError: () => {} })
    .start();
  await begun.reaches(5);
  const extended = async () => {
    const rows = await jobs.rows(`lease_expires_at > locked_at + interval '1.2 seconds'`);
    return rows.length === 4 && rows.every((row) => row.id !== ids[2]);
  };
  await until(extended);
  release();
  await ran;
});

describe('over many jobs', () => {
  test('the clean-up deletes what it can', async () => {
    const old = { status: `'completed'`, updated_at: `now() - interval '40 days'` };
    await jobs.insert(100, old);
    await jobs.database.query(`
      create table reports (job_id bigint references job_queue (id));
      insert into reports values (${tenth})`);
    const queue = await jobs.openQueue();
    expect(await queue.cleanupOldJobs()).toBe(99);
    expect(await jobs.rows()).toMatchObject([{ payload: 10 }]);
  });

  test('cancelAllUpcomingJobs cancels what it can', async () => {
    await jobs.insert(100);
    await refuse('old.payload = to_jsonb(10)');
    const queue = await jobs.openQueue();
    expect(await queue.cancelAllUpcomingJobs()).toBe(99);
    expect(await jobs.statuses()).toEqual({ cancelled: 99, pending: 1 });
  });

  test('reclaimStuckJobs puts back what it can', async () => {
    await jobs.insert(100, { status: `'processing'`, locked_at: `now() - interval '1 hour'` });
    await refuse('old.payload = to_jsonb(10)');
    const queue = await jobs.openQueue();
    expect(await queue.reclaimStuckJobs()).toBe(99);
    expect(await jobs.statuses()).toEqual({ pending: 99, processing: 1 });
  });
});
