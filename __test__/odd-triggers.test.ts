/**
 * Triggers of the user's that keep a job as it is without an error, or that take long over one. Either costs that job
 * alone, and is told.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { currentJob, type JobQueueError, type ProcessorOptions } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

afterEach(() =>
  jobs.database.query(`
    drop trigger if exists odd on job_queue;
    drop function if exists odd();
    truncate job_queue`),
);

/** A trigger that does something where `condition` holds of `old` and `new`. */
async function trigger(condition: string, what: string): Promise<void> {
  await jobs.database.query(`
    create function odd() returns trigger language plpgsql as $$
    begin
      if ${condition} then ${what}; end if;
      return coalesce(new, old);
    end $$;
    create trigger odd before update or delete on job_queue for each row execute function odd()`);
}

const passOver = (condition: string) => trigger(condition, 'return null');

/** The same, which runs at the commit, where no limit of a statement holds. */
async function deferredTrigger(condition: string, what: string): Promise<void> {
  await trigger(condition, what);
  await jobs.database.query(`
    drop trigger odd on job_queue;
    create constraint trigger odd after update or delete on job_queue deferrable initially deferred
    for each row execute function odd()`);
}

async function begin(options: ProcessorOptions = {}) {
  const queue = await jobs.openQueue();
  const ran = new Journal();
  const told = new Journal<JobQueueError>();
  const processor = queue.createProcessor(
    { job: async (payload: unknown) => ran.note(payload) },
    { onError: (error) => told.note(error), ...options },
  );
  return { queue, processor, ran, told };
}

describe('a job that a trigger silently', () => {
  test('keeps from being claimed does not hold up what is behind it', async () => {
    const [first = 0, second = 0] = await jobs.insert(2, { priority: '9' });
    await jobs.insert(10);
    await passOver(`old.priority = 9 and new.status = 'processing'`);
    const { processor, ran, told } = await begin({ batchSize: 2, pollInterval: 20 });
    processor.startInBackground();
    await ran.reaches(10);
    await told.reaches(1);
    expect(told.notes).toMatchObject([{ code: 'DATABASE_ERROR', sqlState: '02000' }]);
    expect(told.notes[0]?.message).toMatch(/job \d+ and one other be claimed: a trigger or a rule/);
    for (const id of [first, second]) {
      expect(await jobs.row(id)).toMatchObject({ status: 'pending', attempts: 0 });
      expect((await jobs.row(id)).pending_reason).toMatch('02000');
    }
    await jobs.database.query('drop trigger odd on job_queue');
    await ran.reaches(12);
    await processor.stopAndDrain();
  });

  test('keeps from every change does not either', async () => {
    await jobs.insert(2, { priority: '9' });
    await jobs.insert(10);
    await passOver('old.priority = 9');
    const { processor, ran, told } = await begin({ batchSize: 2 });
    for (let batch = 0; batch < 8; batch++) await processor.start();
    expect(ran.notes).toHaveLength(10);
    expect(told.notes).toMatchObject([{ sqlState: '02000' }]);
  });

  test.each([
    ['silently', 'return null'],
    ['with an error', `raise 'no'`],
  ])(
    'or %s keeps from every change, like as many as there are slots, stops no other',
    async (_, what) => {
      await jobs.insert(30, { priority: '9' });
      await jobs.insert(5);
      await trigger('old.priority = 9', what);
      const { processor, ran } = await begin();
      processor.startInBackground();
      await ran.reaches(5);
      await processor.stopAndDrain();
    },
  );

  test.each([
    { removeOnComplete: false, condition: `new.status = 'completed'`, status: 'failed' },
    { removeOnComplete: true, condition: 'new is null', status: 'completed' },
  ])('keeps from being $status is told of', async ({ removeOnComplete, condition, status }) => {
    const [id = 0] = await jobs.insert(3);
    await passOver(`old.id = ${id} and ${condition}`);
    const { processor, ran, told } = await begin({ removeOnComplete });
    expect(await processor.start()).toBe(3);
    expect(ran.notes).toHaveLength(3);
    expect(await jobs.row(id)).toMatchObject({ status });
    expect(told.notes).toMatchObject([{ sqlState: '02000' }]);
  });

  test('keeps from being brought back is told of', async () => {
    const lost = {
      status: `'processing'`,
      attempts: '1',
      locked_at: `now() - interval '2 minutes'`,
      lease_expires_at: `now() - interval '1 minute'`,
    };
    const [id = 0] = await jobs.insert(1, lost);
    await jobs.insert(2, lost);
    await passOver(`old.id = ${id} and new.status <> 'processing'`);
    const { processor, ran, told } = await begin();
    expect(await processor.start()).toBe(2);
    expect(ran.notes).toEqual([1, 2]);
    expect(told.notes).toMatchObject([{ sqlState: '02000' }]);
    expect(told.notes[0]?.message).toMatch(`job ${id}`);
  });

  test.each([
    ['silently', 'return null', '02000'],
    ['with an error', `raise 'no'`, 'P0001'],
  ])('keeps from beginning its last attempt, %s, is told of, and waits', async (_, what, state) => {
    const [id = 0] = await jobs.insert(1, { max_attempts: '1', priority: '9' });
    await jobs.insert(5);
    await trigger(`old.id = ${id} and new.attempts > old.attempts`, what);
    const { processor, ran, told } = await begin({ pollInterval: 20 });
    processor.startInBackground();
    await told.reaches(1);
    await ran.reaches(5);
    expect(told.notes).toMatchObject([{ sqlState: state }]);
    expect(told.notes[0]?.message).toMatch(`job ${id} be begun`);
    // It is claimed again after a second, and no sooner.
    await jobs.untilStatus(id, 'pending');
    const { run_no: runNo } = await jobs.row(id);
    for (const count of [6, 7, 8]) {
      await jobs.insert(1);
      await ran.reaches(count);
    }
    await jobs.untilStatus(id, 'pending');
    expect(await jobs.row(id)).toMatchObject({ run_no: runNo });
    expect((await jobs.row(id)).pending_reason).toMatch(`be begun (SQLSTATE ${state})`);
    await jobs.database.query('drop trigger odd on job_queue');
    await jobs.untilStatus(id, 'completed');
    expect(ran.notes).toHaveLength(9);
    expect(await jobs.row(id)).toMatchObject({ attempts: 1 });
    await processor.stopAndDrain();
  });

  test('keeps from having its lease extended is not taken for extended', async () => {
    const [id = 0] = await jobs.insert(1);
    await passOver(`new.status = 'processing' and old.status = 'processing'`);
    const aborted = new Journal<unknown>();
    const queue = await jobs.openQueue();
    const job = () => {
      const { signal } = currentJob();
      return new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => {
          aborted.note(signal.reason);
          resolve();
        });
      });
    };
    await queue.createProcessor({ job }, { leaseDuration: 1_000 }).start();
    expect(aborted.notes).toMatchObject([{ code: 'LEASE_LOST' }]);
    // Nobody has taken it.
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
  });
});

describe('a job that a trigger silently keeps from being added', () => {
  beforeEach(() =>
    jobs.database.query(`
      create function odd() returns trigger language plpgsql as $$
      begin
        if exists (select from job_queue where payload = new.payload) then return null; end if;
        return new;
      end $$;
      create trigger odd before insert on job_queue for each row execute function odd()`),
  );
  const keptOut = { code: 'DATABASE_ERROR', sqlState: '02000' };
  const job = (payload: number) => ({ job_type: 'job', payload });

  test('does not fail those that are added at the same time', async () => {
    const queue = await jobs.openQueue();
    const added = await Promise.allSettled([1, 2, 3, 1, 4, 5].map((n) => queue.addJob(job(n))));
    const failed = added.filter((each) => each.status === 'rejected');
    expect(failed).toMatchObject([{ reason: keptOut }]);
    expect(await jobs.statuses()).toEqual({ pending: 5 });
  });

  test.each([3, 3_000])('fails all of %i that are added all or none', async (count) => {
    const queue = await jobs.openQueue();
    const many = Array.from({ length: count }, (_, n) => job(n % (count - 1)));
    await expect(queue.addJobs(many)).rejects.toMatchObject(keptOut);
    expect(await jobs.statuses()).toEqual({});
  });

  test('is told of on a client of the caller’s', async () => {
    const queue = await jobs.openQueue();
    const db = jobs.database.pool;
    await queue.addJob(job(1), { db });
    await expect(queue.addJob(job(1), { db })).rejects.toMatchObject(keptOut);
    await expect(queue.addJobs([job(2), job(2)], { db })).rejects.toMatchObject(keptOut);
    expect(await jobs.statuses()).toEqual({ pending: 1 });
  });
});

describe('a job over which a trigger takes long', () => {
  test('when it is claimed costs the others that time once', { timeout: 60_000 }, async () => {
    const [id = 0] = await jobs.insert(1, { priority: '9' });
    await jobs.insert(9);
    await trigger(`old.id = ${id} and new.status = 'processing'`, 'perform pg_sleep(60)');
    const options = { batchSize: 10, concurrency: 10, leaseDuration: 1_000, pollInterval: 20 };
    const { queue, processor, ran, told } = await begin(options);
    processor.startInBackground();
    // The statement has its limit, and those that find out which job it is have shorter ones.
    await until(() => ran.notes.length === 9, { timeoutMs: 20_000 });
    // It took longer than a lease, and cost the others no attempt.
    const others = await jobs.rows(`id <> ${id}`);
    expect(others.every(({ attempts }) => attempts === 1)).toBe(true);
    await until(() => told.notes.some(({ message }) => message.includes(`job ${id} be claimed`)));
    expect(await jobs.row(id)).toMatchObject({ status: 'pending', attempts: 0 });
    // When its pause is over it is tried alone, beside others that come.
    await until(async () => Number((await jobs.row(id)).refusals) >= 2);
    const start = performance.now();
    await queue.addJob({ job_type: 'job', payload: 0 });
    await ran.reaches(10);
    expect(performance.now() - start).toBeLessThan(4_000);
    await processor.stopAndDrain();
  });

  test('when it has completed does not hold up the outcomes of others', {
    timeout: 60_000,
  }, async () => {
    const ids = await jobs.insert(8);
    await trigger(`old.id = ${ids[2]} and new.status = 'completed'`, 'perform pg_sleep(60)');
    const options = { batchSize: 10, concurrency: 10, leaseDuration: 1_000, pollInterval: 20 };
    const { processor, ran, told } = await begin(options);
    processor.startInBackground();
    await until(async () => (await jobs.statuses()).completed === 7, { timeoutMs: 12_000 });
    await until(() =>
      told.notes.some(({ message }) => message.includes(`job ${ids[2]} be settled`)),
    );
    await jobs.database.query('drop trigger odd on job_queue');
    await until(async () => (await jobs.statuses()).completed === 8);
    expect(ran.notes).toHaveLength(8);
    await processor.stopAndDrain();
  });

  test.each([
    ['is claimed', trigger, `new.status = 'processing' and old.status = 'pending'`, 'claimed'],
    ['is claimed, at the commit', deferredTrigger, `new.status = 'processing'`, 'claimed'],
    ['has completed, at the commit', deferredTrigger, `new.status = 'completed'`, 'settled'],
  ])('when it %s does not keep the others from running', { timeout: 60_000 }, async (...given) => {
    const [, slow, condition, what] = given;
    const ids = await jobs.insert(8);
    await slow(`old.id = ${ids[2]} and ${condition}`, 'perform pg_sleep(60)');
    const options = { batchSize: 10, concurrency: 10, leaseDuration: 4_000, pollInterval: 20 };
    const { processor, ran, told } = await begin(options);
    processor.startInBackground();
    await until(async () => (await jobs.statuses()).completed === 7, { timeoutMs: 30_000 });
    await until(() =>
      told.notes.some(({ message }) => message.includes(`job ${ids[2]} be ${what}`)),
    );
    await jobs.database.query('drop trigger odd on job_queue');
    await until(async () => (await jobs.statuses()).completed === 8, { timeoutMs: 10_000 });
    expect(ran.notes).toHaveLength(8);
    expect((await jobs.rows()).map(({ attempts }) => attempts)).toEqual(Array(8).fill(1));
    await processor.stopAndDrain();
  });

  test('at the commit of a claim does not keep a batch from the others', {
    timeout: 60_000,
  }, async () => {
    const ids = await jobs.insert(8);
    await deferredTrigger(
      `old.id = ${ids[2]} and new.status = 'processing'`,
      'perform pg_sleep(60)',
    );
    const { processor, ran } = await begin({ leaseDuration: 4_000 });
    let count = 0;
    while (count < 7) count += await processor.start();
    expect(ran.notes).toHaveLength(7);
  });

  test.each([
    ['', trigger],
    [', at the commit,', deferredTrigger],
  ])(
    'when its lease is extended%s costs no other its own',
    { timeout: 60_000 },
    async (...given) => {
      const [, slow] = given;
      const ids = await jobs.insert(5);
      await slow(
        `old.id = ${ids[2]} and new.status = 'processing' and old.status = 'processing'`,
        'perform pg_sleep(60)',
      );
      const queue = await jobs.openQueue();
      const leaseDuration = 4_000;
      const lost = new Journal<number>();
      const done = deferred();
      const job = () => {
        const { id, signal } = currentJob();
        signal.addEventListener('abort', () => lost.note(id));
        return done.promise;
      };
      const processor = queue.createProcessor({ job }, { leaseDuration, concurrency: 5 });
      processor.startInBackground();
      // Two leases and a half later the others have been extended four times.
      const leases = async () =>
        (await jobs.rows(`id <> ${ids[2]}`)).map(({ lease_expires_at }) =>
          Number(lease_expires_at),
        );
      await until(async () => (await jobs.statuses()).processing === 5);
      const [first = 0] = await leases();
      const far = first + 2.5 * leaseDuration;
      await until(async () => (await leases()).every((end) => end > far), { timeoutMs: 30_000 });
      expect(lost.notes.filter((id) => id !== ids[2])).toEqual([]);
      await jobs.database.query('drop trigger odd on job_queue');
      done.resolve();
      await processor.stopAndDrain();
      const others = await jobs.rows(`id <> ${ids[2]}`);
      expect(others.map(({ status, attempts }) => [status, attempts])).toEqual(
        Array(4).fill(['completed', 1]),
      );
    },
  );

  test('when it is brought back holds up neither those that are lost too nor what comes', {
    timeout: 60_000,
  }, async () => {
    const lost = {
      status: `'processing'`,
      attempts: '1',
      locked_at: `now() - interval '3 minutes'`,
      lease_expires_at: `now() - interval '2 minutes'`,
    };
    const ids = await jobs.insert(6, lost);
    await trigger(`old.id = ${ids[2]} and new.status <> 'processing'`, 'perform pg_sleep(60)');
    const { queue, processor, ran, told } = await begin({ pollInterval: 20 });
    processor.startInBackground();
    await until(() => ran.notes.length === 5, { timeoutMs: 30_000 });
    await until(() =>
      told.notes.some(({ message }) => message.includes(`job ${ids[2]} be brought back`)),
    );
    await queue.addJob({ job_type: 'job', payload: 0 });
    await ran.reaches(6);
    await processor.stopAndDrain();
  });

  test('at the commit, when it begins its last attempt, keeps no other from it', {
    timeout: 60_000,
  }, async () => {
    const ids = await jobs.insert(4, { max_attempts: '1' });
    await deferredTrigger(
      `old.id = ${ids[2]} and new.attempts > old.attempts`,
      'perform pg_sleep(60)',
    );
    const { processor, ran, told } = await begin({ leaseDuration: 4_000, pollInterval: 20 });
    processor.startInBackground();
    await until(() => ran.notes.length === 3, { timeoutMs: 30_000 });
    await until(() => told.notes.some(({ message }) => message.includes(`job ${ids[2]} be begun`)));
    await processor.stopAndDrain();
  });
});
