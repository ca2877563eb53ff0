/** Triggers of the user's that discard a change of a job without an error. Only this job waits, and it is reported. */
import { beforeEach, describe, expect, test } from 'vitest';
import { currentJob, type JobQueueError, type ProcessorOptions } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { notingProcessor, useTriggers } from './helpers/triggers.js';

const jobs = useJobs();
const { trigger, passOver } = useTriggers(jobs);
const begin = (options?: ProcessorOptions) => notingProcessor(jobs, options);

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
    expect(told.notes[0]?.message).toMatch(/jobs \d+ and \d+ be claimed: a trigger or a rule/);
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

  test.each([
    ['silently', 'return null', '02000'],
    ['with an error', `raise 'no'`, 'P0001'],
  ])('keeps %s from having its lease extended is told of once', async (_, what, state) => {
    const [id = 0] = await jobs.insert(1);
    await trigger(`new.status = 'processing' and old.status = 'processing'`, what);
    const queue = await jobs.openQueue();
    const told = new Journal<JobQueueError>();
    const job = () => {
      const { signal } = currentJob();
      return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    };
    await queue
      .createProcessor({ job }, { leaseDuration: 1_000, onError: (error) => told.note(error) })
      .start();
    expect(told.notes).toMatchObject([{ sqlState: state }]);
    expect(told.notes[0]?.message).toMatch(`job ${id} be kept by its worker`);
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
