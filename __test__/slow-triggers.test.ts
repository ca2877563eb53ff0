/** Triggers of the user's that take long over one job, at the statement or at the commit. The others go on. */
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  createRouteHandler,
  currentJob,
  type ProcessorOptions,
  type RouteResult,
} from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import type { QueueOptions } from './helpers/queue.js';
import { notingProcessor, useTriggers } from './helpers/triggers.js';
import { deferred, until } from './helpers/until.js';

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

  test.each([
    ['is claimed', trigger, `new.status = 'processing'`],
    ['is claimed, at the commit,', deferredTrigger, `new.status = 'processing'`],
    ['has completed', trigger, `new.status = 'completed'`],
    ['has completed, at the commit,', deferredTrigger, `new.status = 'completed'`],
  ])('when it %s is found within the time of a route', { timeout: 60_000 }, async (...given) => {
    const [, slow, condition] = given;
    const ids = await jobs.insert(7);
    await slow(`old.id = ${ids[3]} and ${condition}`, 'perform pg_sleep(60)');
    const queue = await jobs.openQueue();
    const ran = new Journal();
    const told: string[] = [];
    const { GET } = createRouteHandler(
      async () => queue,
      { job: async (payload: unknown) => ran.note(payload) },
      { secret: 's', maxDuration: 12, onError: ({ message }) => told.push(message) },
    );
    const headers = { authorization: 'Bearer s' };
    const answer = await GET(new Request('https://app.example/', { headers }));
    expect(answer.status).toBe(200);
    expect(((await answer.json()) as RouteResult).completed).toBe(6);
    expect(told.join()).toContain(`job ${ids[3]}`);
    const others = await jobs.rows(`id <> ${ids[3]}`);
    expect(others.map(({ status, attempts }) => [status, attempts])).toEqual(
      Array(6).fill(['completed', 1]),
    );
  });

  test('when it is handed back at the deadline of a route keeps no other from that', {
    timeout: 60_000,
  }, async () => {
    const ids = await jobs.insert(6);
    await trigger(
      `old.id = ${ids[2]} and new.status in ('pending', 'failed')`,
      'perform pg_sleep(60)',
    );
    const queue = await jobs.openQueue();
    const { GET } = createRouteHandler(
      async () => queue,
      { job: () => new Promise(() => {}) },
      { secret: 's', maxDuration: 10, concurrency: 6, onError: () => {} },
    );
    const headers = { authorization: 'Bearer s' };
    await GET(new Request('https://app.example/', { headers }));
    const others = await jobs.rows(`id <> ${ids[2]}`);
    // They had more than half of the time: an attempt each.
    expect(others.map(({ status, attempts }) => [status, attempts])).toEqual(
      Array(5).fill(['pending', 1]),
    );
  });

  test.each([
    ['are claimed', 'processing', 12],
    ['have completed', 'completed', 20],
  ])(
    'together with seven others when they %s leaves a short route the time for the rest',
    {
      timeout: 60_000,
    },
    async (_, status, count) => {
      const ids = await jobs.insert(20);
      // Every other one of the first sixteen, so that each claim meets some.
      const slow = ids.filter((_, at) => at % 2 === 0 && at < 16);
      await trigger(
        `old.id = any ('{${slow}}') and new.status = '${status}'`,
        'perform pg_sleep(60)',
      );
      const queue = await jobs.openQueue();
      const ran = new Journal<number>();
      const { GET } = createRouteHandler(
        async () => queue,
        { job: async () => ran.note(currentJob().id) },
        { secret: 's', maxDuration: 5, concurrency: 3, onError: () => {} },
      );
      const headers = { authorization: 'Bearer s' };
      await GET(new Request('https://app.example/', { headers }));
      const others = await jobs.rows(`not id = any ($1)`, slow);
      expect(others.map((job) => job.status)).toEqual(Array(12).fill('completed'));
      expect(ran.notes).toHaveLength(count);
    },
  );

  test('at the commit, behind a pooler, is given up by the server', {
    timeout: 60_000,
  }, async () => {
    const ids = await jobs.insert(7);
    await deferredTrigger(
      `old.id = ${ids[3]} and new.status = 'processing'`,
      'perform pg_sleep(60)',
    );
    const { processor, ran, told } = await begin(
      { leaseDuration: 6_000, pollInterval: 20 },
      { pooler: 'transaction' },
    );
    processor.startInBackground();
    await until(() => ran.notes.length === 6, { timeoutMs: 20_000 });
    await until(() => told.notes.some(({ message }) => message.includes(`job ${ids[3]} be`)));
    const sleeping = `select from pg_stat_activity
      where datname = current_database() and wait_event = 'PgSleep'`;
    await until(async () => (await jobs.database.query(sleeping)).length === 0);
    expect((await jobs.rows()).every(({ attempts }) => attempts <= 1)).toBe(true);
    await processor.stopAndDrain();
  });

  test.each([
    ['are claimed', `new.status = 'processing'`],
    ['have completed', `new.status = 'completed'`],
  ])('together with five others when they %s', { timeout: 60_000 }, async (_, condition) => {
    const ids = await jobs.insert(12);
    await trigger(`old.id % 2 = 0 and ${condition}`, 'perform pg_sleep(60)');
    const innocent = ids.filter((id) => id % 2 === 1);
    const { queue, processor } = await begin({
      leaseDuration: 6_000,
      pollInterval: 20,
      concurrency: 12,
      batchSize: 20,
    });
    const start = performance.now();
    processor.startInBackground();
    const completed = () => jobs.rows(`status = 'completed' and id = any ($1)`, innocent);
    await until(async () => (await completed()).length === 6, { timeoutMs: 30_000 });
    expect(performance.now() - start).toBeLessThan(20_000);
    // What comes meanwhile does not wait for all of them either.
    let late = await queue.addJob({ job_type: 'job', payload: 0 });
    if (late % 2 === 0) late = await queue.addJob({ job_type: 'job', payload: 0 });
    await jobs.untilStatus(late, 'completed');
    await jobs.database.query('drop trigger odd on job_queue');
    await processor.stopAndDrain();
  });

  test('is told though other jobs keep coming', { timeout: 60_000 }, async () => {
    const ids = await jobs.insert(3);
    await trigger(`old.id <= ${ids[2]} and new.status = 'completed'`, 'perform pg_sleep(60)');
    const { queue, processor, told } = await begin({ leaseDuration: 12_000, pollInterval: 20 });
    processor.startInBackground();
    const done = new AbortController();
    const adding = (async () => {
      while (!done.signal.aborted)
        await jobs.untilStatus(await queue.addJob({ job_type: 'job', payload: 0 }), 'completed');
    })();
    const isTold = () => told.notes.some(({ message }) => message.includes('be settled'));
    await until(isTold, { timeoutMs: 20_000 });
    done.abort();
    await jobs.database.query('drop trigger odd on job_queue');
    await adding;
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
