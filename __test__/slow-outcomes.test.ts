/** Triggers of the user's that take long over one job as it is settled, extended or brought back, or in a route. */
import { describe, expect, test } from 'vitest';
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
});
