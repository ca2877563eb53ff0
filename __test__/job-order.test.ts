import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { ProcessorOptions } from '../index.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();
const HOUR = 3_600_000;

describe('order', () => {
  const order = async (options: ProcessorOptions = {}) => {
    const queue = await jobs.openQueue();
    const ran: unknown[] = [];
    const note = async (payload: unknown) => void ran.push(payload);
    const processor = queue.createProcessor(
      { job: note, a: note, b: note, c: note, none: note },
      { concurrency: 1, batchSize: 7, ...options },
    );
    while ((await processor.start()) > 0);
    return ran;
  };

  test('higher priority first, then the earlier due time, then the lower id', async () => {
    const queue = await jobs.openQueue();
    const add = (payload: string, priority: number, minutesAgo: number) =>
      queue.addJob({
        job_type: 'job',
        payload,
        priority,
        run_at: new Date(Date.UTC(2020, 1) - minutesAgo * 60_000),
      });
    await add('low', -5, 9);
    await add('second', 0, 1);
    await add('first', 0, 2);
    await add('third', 0, 1);
    await add('high', 1, 0);
    expect(await order()).toEqual(['high', 'first', 'second', 'third', 'low']);
  });

  test('a retry is due when its next attempt is', async () => {
    const columns = { run_at: "now() - interval '1 hour'", status: "'failed'", attempts: '1' };
    await jobs.insert(1, {
      ...columns,
      payload: `'"late"'`,
      next_attempt_at: "now() - interval '1 second'",
    });
    await jobs.insert(1, { payload: `'"between"'`, run_at: "now() - interval '1 minute'" });
    await jobs.insert(1, {
      ...columns,
      payload: `'"early"'`,
      next_attempt_at: "now() - interval '2 minutes'",
    });
    expect(await order()).toEqual(['early', 'between', 'late']);
  });

  const priority = fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: -2, max: 2 }) },
    fc.constantFrom(-2_147_483_648, 2_147_483_647),
    fc.integer(),
  );
  const someJobs = fc.array(
    fc.record({
      type: fc.constantFrom('a', 'b', 'c'),
      priority,
      // Seconds from now.
      due: fc.oneof(fc.integer({ min: -5, max: -1 }), fc.constant(3600)),
    }),
    { maxLength: 60 },
  );

  test.each([[undefined], ['a'], [['b']], [['a', 'c']], [['c', 'b', 'a', 'none']]])(
    'whatever jobs there are, with the jobType %o',
    async (jobType) => {
      const wanted = jobType === undefined ? ['a', 'b', 'c'] : [jobType].flat();
      await fc.assert(
        fc.asyncProperty(someJobs, async (given) => {
          await jobs.database.query('truncate job_queue');
          await jobs.database.query(
            `insert into job_queue (job_type, payload, priority, run_at)
          select type, to_jsonb(n - 1), priority, now() + due * interval '1 second'
          from rows from (json_to_recordset($1) as (type text, priority int, due int))
            with ordinality as given (type, priority, due, n)
          order by n`,
            [JSON.stringify(given)],
          );
          const expected = given
            .map((job, at) => ({ ...job, at }))
            .filter((job) => job.due < 0 && wanted.includes(job.type))
            .sort((x, y) => y.priority - x.priority || x.due - y.due || x.at - y.at);
          expect(await order({ jobType })).toEqual(expected.map((job) => job.at));
        }),
        { numRuns: 12 },
      );
    },
  );

  test.each([[undefined], [['a', 'job']]])(
    'many jobs of higher priority that wait hold up none that is due, with the jobType %o',
    async (jobType) => {
      const future = "now() + interval '1 day'";
      await jobs.insert(20_000, { priority: 'n % 1000', run_at: future });
      await jobs.insert(3, { priority: '-n', job_type: "'a'" });
      expect(await order({ jobType })).toEqual([1, 2, 3]);
      expect((await jobs.statuses()).pending).toBe(20_000);
    },
  );
});

describe('what is due', () => {
  test('is said by the clock of the database, not by that of the process', async () => {
    const queue = await jobs.openQueue();
    const soon = new Date(Date.now() + HOUR);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 365 * 24 * HOUR });
    onTestFinished(() => void vi.useRealTimers());

    const now = await queue.addJob({ job_type: 'job', payload: 'now' });
    const later = await queue.addJob({ job_type: 'job', payload: 'later', run_at: soon });
    const handler = vi.fn(async () => {});
    await queue.createProcessor({ job: handler }).start();

    expect(handler.mock.calls).toEqual([['now']]);
    expect(await queue.getJob(now)).toMatchObject({ status: 'completed' });
    expect(await queue.getJob(later)).toMatchObject({ status: 'pending', attempts: 0 });
    await jobs.update('run_at = now()', later);
    await queue.createProcessor({ job: handler }).start();
    expect(handler).toHaveBeenLastCalledWith('later');
  });
});

describe('jobType', () => {
  test.each([
    ['a type', 'a', { a: 2 }],
    ['an array of types', ['a', 'b'], { a: 2, b: 2 }],
    ['none: all types', undefined, { a: 2, b: 2, c: 2 }],
    ['a type that no job has', 'd', {}],
  ])('%s', async (_, jobType, expected) => {
    const queue = await jobs.openQueue();
    await jobs.insert(6, { job_type: "(array['a', 'b', 'c'])[n % 3 + 1]" });
    const ran: Record<string, number> = {};
    const count = (type: string) => async () => {
      ran[type] = (ran[type] ?? 0) + 1;
    };
    const handlers = { a: count('a'), b: count('b'), c: count('c'), d: count('d') };

    await queue.createProcessor(handlers, { jobType }).start();

    expect(ran).toEqual(expected);
    expect((await jobs.statuses()).pending ?? 0).toBe(6 - (await completed()));
  });

  const completed = async () => (await jobs.statuses()).completed ?? 0;
});
