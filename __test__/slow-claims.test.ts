/** Triggers of the user's that take long over one job as it is claimed, or begins. The others go on. */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ProcessorOptions } from '../index.js';
import { useJobs } from './helpers/jobs.js';
import type { QueueOptions } from './helpers/queue.js';
import { notingProcessor, useTriggers } from './helpers/triggers.js';
import { until } from './helpers/until.js';

const jobs = useJobs();
const { trigger, deferredTrigger } = useTriggers(jobs);
const begin = (options?: ProcessorOptions, queueOptions?: QueueOptions) =>
  notingProcessor(jobs, options, queueOptions);

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

  test('when it is claimed, behind others, costs them the limit once', {
    timeout: 60_000,
  }, async () => {
    const ids = await jobs.insert(40);
    await trigger(`old.id = ${ids[20]} and new.status = 'processing'`, 'perform pg_sleep(60)');
    const { processor, ran, told } = await begin({
      leaseDuration: 6_000,
      pollInterval: 500,
      concurrency: 5,
    });
    processor.startInBackground();
    await until(() => ran.notes.length === 39, { timeoutMs: 30_000 });
    // The claims behind the first did not meet it, while its backend was being ended, and still did not forget it.
    const limits = told.notes.filter(({ message }) => message.includes('has not answered'));
    expect(limits.length).toBeLessThanOrEqual(1);
    await processor.stopAndDrain();
  });

  test('is one of several, each found out once before the others run', {
    timeout: 60_000,
  }, async () => {
    // Counted by what no rollback takes back.
    await jobs.database.query('create sequence tried');
    onTestFinished(async () => {
      await jobs.database.query('drop sequence tried');
    });
    const tried = async () =>
      Number((await jobs.database.query('select last_value from tried'))[0]?.last_value);
    await jobs.insert(12);
    await trigger(
      `(old.payload #>> '{}')::int % 2 = 0 and new.status = 'processing'`,
      `perform nextval('tried'); perform pg_sleep(60)`,
    );
    const options = { batchSize: 20, concurrency: 20, leaseDuration: 12_000, pollInterval: 50 };
    const { processor, ran } = await begin(options);
    processor.startInBackground();
    await until(() => ran.notes.length === 6, { timeoutMs: 40_000 });
    const tries = await tried();
    await jobs.database.query('drop trigger odd on job_queue');
    expect(tries).toBeLessThanOrEqual(12);
    await processor.stopAndDrain();
  });

  test('is one of twenty, which cost the others half a second each', {
    timeout: 90_000,
  }, async () => {
    const slow = await jobs.insert(20, { priority: '1' });
    await jobs.insert(5);
    await trigger(`old.id <= ${slow.at(-1)} and new.status = 'processing'`, 'perform pg_sleep(60)');
    const { processor, ran } = await begin();
    const start = performance.now();
    processor.startInBackground();
    await until(() => ran.notes.length === 5, { timeoutMs: 60_000 });
    // Five seconds for the exchange, and ten for the twenty.
    expect(performance.now() - start).toBeLessThan(25_000);
    await jobs.database.query('drop trigger odd on job_queue');
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

  test('as over each of them, keeps none from running', { timeout: 90_000 }, async () => {
    await jobs.insert(4);
    await trigger(`new.status = 'processing' and old.status = 'pending'`, 'perform pg_sleep(1.6)');
    const { processor, ran } = await begin({ pollInterval: 20 });
    processor.startInBackground();
    await until(async () => (await jobs.statuses()).completed === 4, { timeoutMs: 60_000 });
    expect([...ran.notes].sort()).toEqual([1, 2, 3, 4]);
    expect((await jobs.rows()).map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1]);
    await processor.stopAndDrain();
  });
});

test('a server that is slow with every statement runs a job, once', {
  timeout: 90_000,
}, async () => {
  await jobs.insert(1);
  // Longer than a worker with this lease waits for an exchange, and than a statement that looks for a slow row.
  await jobs.database.query(`
    create function slow() returns trigger language plpgsql as $$
    begin perform pg_sleep(2.5); return null; end $$;
    create trigger slow before update on job_queue for each statement execute function slow();`);
  onTestFinished(async () => {
    await jobs.database.query('drop trigger if exists slow on job_queue; drop function slow()');
  });
  const { processor, ran } = await begin({ leaseDuration: 12_000, pollInterval: 50 });
  processor.startInBackground();
  await until(async () => (await jobs.statuses()).completed === 1, { timeoutMs: 80_000 });
  expect(ran.notes).toHaveLength(1);
  expect((await jobs.rows()).map(({ attempts }) => attempts)).toEqual([1]);
  await jobs.database.query('drop trigger slow on job_queue');
  await processor.stopAndDrain();
});
