/** When a failed job is tried again: retry policies, and the errors by which a handler decides. */
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import {
  currentJob,
  type JobDefinition,
  type JobOptions,
  type JobQueueError,
  type ProcessorOptions,
  RetryAfter,
  type RetryPolicy,
  Unrecoverable,
} from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

type Payloads = Record<string, number>;
type Definition = JobDefinition<Payloads, string>;

const MINUTE = 60_000;
const fails = async (): Promise<void> => {
  throw new Error('no');
};

/** Milliseconds from the failure of an attempt to the next; `null` if there is none. */
async function delays(): Promise<(number | null)[]> {
  const rows = await jobs.database.query<{ delay: number | null }>(
    `select extract(epoch from next_attempt_at - updated_at)::float8 * 1000 as delay
    from job_queue order by id`,
  );
  return rows.map(({ delay }) => delay);
}

interface Given {
  /** The job's own columns. */
  job?: Partial<JobOptions<Payloads>>;
  definition?: Partial<Definition>;
  options?: ProcessorOptions;
}

/** Runs a job once, or as often as is said, and gives its delay, its row and what `onError` was told. */
async function failing({ job, definition, options }: Given, attempts = 1) {
  const queue = await jobs.openQueue();
  const id = await queue.addJob({ job_type: 'job', payload: 0, max_attempts: 9, ...job });
  const told = new Journal<JobQueueError>();
  const processor = queue.createProcessor(
    { job: { run: fails, ...definition } },
    { onJobFailed: () => {}, onError: (error) => told.note(error), ...options },
  );
  for (let attempt = 1; attempt <= attempts; attempt++) {
    await jobs.update('next_attempt_at = null, status = $$pending$$', id);
    expect(await processor.start()).toBe(1);
  }
  const [delay] = await delays();
  return { queue, id, processor, delay, row: await jobs.row(id), told: told.notes };
}

describe('a retry policy', () => {
  const steady: RetryPolicy = { delay: 5_000, factor: 3, maxDelay: 60_000, jitter: 0 };

  test.each([
    [1, 5_000],
    [2, 15_000],
    [3, 45_000],
    [4, 60_000],
    [5, 60_000],
  ])('of a processor gives the delay after attempt %i', async (attempt, delay) => {
    const failed = await failing({ options: { retry: steady } }, attempt);
    expect(failed.delay).toBeCloseTo(delay, 0);
    expect(failed.row).toMatchObject({ status: 'failed', attempts: attempt });
  });

  test.each<[string, RetryPolicy, number]>([
    ['a delay', { delay: 8_000 }, 16_000],
    ['a factor', { factor: 10 }, 10_000],
    ['the longest delay', { maxDelay: 1_500 }, 1_500],
    ['no jitter', {}, 2_000],
  ])('that gives %s has the defaults for the rest', async (_, retry, delay) => {
    const failed = await failing({ options: { retry: { jitter: 0, ...retry } } }, 2);
    expect(failed.delay).toBeCloseTo(delay, 0);
  });

  test('without a number leaves it at two minutes', async () => {
    const none = await failing({ options: { retry: {} }, definition: { retry: {} } });
    expect(none.delay).toBeCloseTo(2 * MINUTE, 0);
  });

  test('is taken field by field: the job’s own, its definition’s, the processor’s', async () => {
    const failed = await failing(
      {
        job: { retry_factor: 1.5 },
        definition: { retry: { delay: 2_000, factor: 7 } },
        options: { retry: { delay: 1, factor: 8, maxDelay: 4_000, jitter: 0 } },
      },
      3,
    );
    expect(failed.delay).toBeCloseTo(4_000, 0);
    await jobs.update('retry_max_delay_ms = 100000', failed.id);
    await jobs.update('next_attempt_at = null, status = $$pending$$', failed.id);
    await failed.processor.start();
    // 2,000 ms times 1.5 to the third: the fourth attempt.
    expect((await delays())[0]).toBeCloseTo(6_750, 0);
  });

  test('of the job alone has the defaults for the rest', async () => {
    const { delay } = await failing({ job: { retry_delay_ms: 10_000 } });
    expect(delay).toBeGreaterThanOrEqual(7_499);
    expect(delay).toBeLessThanOrEqual(10_001);
  });

  test('spreads the delays by its jitter, below the delay', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(400);
    const retry = { delay: 100_000, jitter: 0.4 };
    const processor = queue.createProcessor(
      { job: fails },
      { batchSize: 400, concurrency: 400, retry, onJobFailed: () => {} },
    );
    await processor.start();
    const spread = (await delays()) as number[];
    expect(Math.min(...spread)).toBeGreaterThanOrEqual(60_000 - 1);
    expect(Math.max(...spread)).toBeLessThanOrEqual(100_000 + 1);
    // A uniform distribution leaves none of ten parts empty, but with a chance of 10 * 0.9^400.
    const parts = new Set(spread.map((delay) => Math.floor((delay - 60_000) / 4_000.01)));
    expect(parts.size).toBe(10);
  });

  test('of 0 has the job tried again at once, until no attempt is left', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob({ job_type: 'job', payload: 0, retry_delay_ms: 0 });
    let runs = 0;
    const processor = queue.createProcessor(
      {
        job: async () => {
          runs++;
          throw new Error('no');
        },
      },
      { pollInterval: 20, onJobFailed: () => {} },
    );
    processor.startInBackground();
    await until(async () => {
      const row = await jobs.row(id);
      return row.status === 'failed' && row.attempts === 3;
    });
    await processor.stopAndDrain();
    expect(runs).toBe(3);
    expect(await jobs.row(id)).toMatchObject({ next_attempt_at: null });
  });

  test.each([
    ['beyond the range', 'retry_delay_ms = -5, retry_factor = 1e300, retry_max_delay_ms = -1', 0],
    ['not a number', `retry_factor = 'NaN', retry_delay_ms = 1, retry_max_delay_ms = null`, 1],
    ['infinite', `retry_factor = '-infinity', retry_delay_ms = 7, retry_max_delay_ms = null`, 7],
    ['of the last attempts that there can be', 'attempts = 2147483000, retry_delay_ms = 5', null],
  ])('bears columns that were set by hand: %s', async (_, assignments, delay) => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1, { max_attempts: '2147483647' });
    await jobs.update(assignments, id);
    const processor = queue.createProcessor(
      { job: fails },
      { retry: { jitter: 0 }, onJobFailed: () => {} },
    );
    expect(await processor.start()).toBe(1);
    expect(await jobs.row(id)).toMatchObject({ status: 'failed' });
    expect((await delays())[0]).toBeCloseTo(delay ?? 3_600_000, 0);
  });

  test('holds for a run whose time is up, whose definition limits it; decide is not asked', async () => {
    const asked = new Journal();
    const hangs = () => new Promise<void>(() => {});
    const retry: RetryPolicy = {
      delay: 30_000,
      jitter: 0,
      decide: () => {
        asked.note(1);
        return 'fail';
      },
    };
    const { delay, row } = await failing({
      definition: { run: hangs, timeout: 50, retry },
      options: { defaultTimeout: 60_000 },
    });
    expect(row.error_history).toMatchObject([{ message: 'Timed out after 50 ms' }]);
    expect(delay).toBeCloseTo(30_000, 0);
    expect(asked.notes).toEqual([]);
    const own = await failing({
      job: { timeout_ms: 20 },
      definition: { run: hangs, timeout: 9_000 },
    });
    expect(own.row.error_history).toMatchObject([{ message: 'Timed out after 20 ms' }]);
  });

  test('does not delay a job whose worker was lost', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1, {
      status: "'processing'",
      attempts: '1',
      run_no: '7',
      retry_delay_ms: '1000000',
      locked_at: "now() - interval '2 minutes'",
      lease_expires_at: "now() - interval '90 seconds'",
    });
    const ran = new Journal();
    const processor = queue.createProcessor(
      { job: async () => ran.note(currentJob().attempts) },
      { pollInterval: 20, retry: { delay: 1_000_000 } },
    );
    processor.startInBackground();
    await jobs.untilStatus(id, 'completed');
    expect(ran.notes).toEqual([2]);
    await processor.stopAndDrain();
  });

  test('is said for each kind of addition', async () => {
    const queue = await jobs.openQueue();
    const own = { retry_delay_ms: 5, retry_factor: 1.25, retry_max_delay_ms: 70 };
    const none = { retry_delay_ms: null, retry_factor: null, retry_max_delay_ms: null };
    const job = { job_type: 'job', payload: 0 };
    const each = async (ids: number[]) =>
      Promise.all(ids.map(async (id) => (await queue.getJob(id)) as object));
    const mixed = [job, { ...job, ...own }, job];
    const expected = [none, own, none];
    expect(await each([await queue.addJob({ ...job, ...own })])).toMatchObject([own]);
    expect(await each(await queue.addJobs(mixed))).toMatchObject(expected);
    expect(await each(await queue.addJobs(mixed, { db: jobs.database.pool }))).toMatchObject(
      expected,
    );
    expect(await each(await Promise.all(mixed.map((job) => queue.addJob(job))))).toMatchObject(
      expected,
    );
    // Copied, in parts of a thousand, of which the second alone has such jobs.
    const many = Array.from({ length: 6_000 }, (_, at) =>
      at === 1_500 ? { ...job, ...own } : job,
    );
    const ids = await queue.addJobs(many);
    expect(await each([1_499, 1_500, 1_501, 5_999].map((at) => ids[at] ?? 0))).toMatchObject([
      none,
      own,
      none,
      none,
    ]);
    const [added] = await jobs.database.query<{ id: number }>(
      `select add_job('job', '0', retry_delay_ms => 5, retry_factor => 1.25, retry_max_delay_ms => 70)::int as id`,
    );
    expect(await each([added?.id ?? 0])).toMatchObject([own]);
  });
});

describe('decide', () => {
  const deciding = (decide: RetryPolicy['decide'], more: RetryPolicy = {}) =>
    failing({ definition: { retry: { ...more, decide } } });

  test('is asked with what the handler threw, and with its job', async () => {
    const asked = new Journal<unknown[]>();
    const { id } = await deciding((error, job) => {
      asked.note([(error as Error).message, job.id, job.attempts]);
      return undefined;
    });
    expect(asked.notes).toEqual([['no', id, 1]]);
  });

  test.each<[string, () => unknown, number | null]>([
    ['milliseconds', () => 12_345, 12_345],
    ['a fraction of one', () => 1.5, 1.5],
    ['milliseconds in the past', () => -1, 0],
    ['a Date in the past', () => new Date(0), 0],
    ['a Date before 1970', () => new Date(-1), 0],
    ['fail', () => 'fail', null],
    ['nothing', () => undefined, 2 * MINUTE],
  ])('that gives %s decides', async (_, decide, delay) => {
    const { delay: found, row, told } = await deciding(decide as RetryPolicy['decide']);
    if (delay === null) expect(found).toBeNull();
    else expect(found).toBeCloseTo(delay, 0);
    expect(row).toMatchObject({ status: 'failed', attempts: 1 });
    expect(told).toEqual([]);
  });

  test('that gives a Date names that time', async () => {
    const at = new Date(Date.now() + 5 * MINUTE);
    const { row } = await deciding(() => at);
    expect(row.next_attempt_at).toEqual(at);
  });

  test.each<[string, () => unknown]>([
    ['a word', () => 'again'],
    ['NaN', () => Number.NaN],
    ['an infinity', () => Number.POSITIVE_INFINITY],
    ['an invalid Date', () => new Date('no')],
    ['null', () => null],
    ['a promise', async () => 5],
    [
      'a promise that rejects',
      async () => {
        throw new Error('decided too late');
      },
    ],
    [
      'an error',
      () => {
        throw new Error('decided wrongly');
      },
    ],
  ])('that gives %s leaves it at the policy, and is told', async (_, decide) => {
    const { delay, told } = await deciding(decide as RetryPolicy['decide'], {
      delay: 7_000,
      jitter: 0,
    });
    expect(delay).toBeCloseTo(7_000, 0);
    expect(told).toMatchObject([
      { code: 'INVALID_ARGUMENT', message: expect.stringContaining('retry.decide') },
    ]);
  });

  test('of a definition goes before the processor’s', async () => {
    const { delay } = await failing({
      definition: { retry: { decide: () => 1_000 } },
      options: { retry: { decide: () => 'fail', delay: 5 } },
    });
    expect(delay).toBeCloseTo(1_000, 0);
  });

  test('grants no attempt beyond the last', async () => {
    const { delay, row } = await failing({
      job: { max_attempts: 1 },
      definition: { retry: { decide: () => 5 } },
    });
    expect(delay).toBeNull();
    expect(row).toMatchObject({ status: 'failed', attempts: 1 });
  });
});

describe('a handler that throws', () => {
  const throwing = (thrown: unknown, given: Given = {}) =>
    failing({
      ...given,
      definition: {
        ...given.definition,
        run: async () => {
          throw thrown;
        },
      },
    });

  test('RetryAfter names the time, whatever the policy and decide say', async () => {
    const definition: Partial<Definition> = { retry: { delay: 5, decide: () => 'fail' } };
    const after = await throwing(new RetryAfter(45_000), { definition });
    expect(after.delay).toBeCloseTo(45_000, 0);
    expect(after.row.error_history).toMatchObject([
      { name: 'RetryAfter', message: 'To be tried again after 45000 ms' },
    ]);
  });

  test('RetryAfter with a Date and a message', async () => {
    const at = new Date(Date.now() + 90_000);
    const cause = new Error('429');
    const error = new RetryAfter(at, 'rate limited', { cause });
    expect(error.cause).toBe(cause);
    const { row } = await throwing(error);
    expect(row.next_attempt_at).toEqual(at);
    expect(row.error_history).toMatchObject([{ name: 'RetryAfter', message: 'rate limited' }]);
  });

  test('RetryAfter on the last attempt has failed for good', async () => {
    const { delay, row } = await throwing(new RetryAfter(1), { job: { max_attempts: 1 } });
    expect(delay).toBeNull();
    expect(row).toMatchObject({ status: 'failed', attempts: 1 });
  });

  test('Unrecoverable has failed for good with attempts left, until retryJob', async () => {
    class CardStolen extends Unrecoverable {}
    const { queue, id, delay, row, processor } = await throwing(new CardStolen('stolen'));
    expect(delay).toBeNull();
    expect(row).toMatchObject({ status: 'failed', attempts: 1, max_attempts: 9 });
    expect(row.error_history).toMatchObject([{ message: 'stolen' }]);
    expect(await processor.start()).toBe(0);
    await queue.cancelJob(id);
    expect(await jobs.row(id)).toMatchObject({ status: 'failed' });
    await queue.retryJob(id);
    expect(await processor.start()).toBe(1);
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 2 });
  });

  test('what another copy of the package has thrown', async () => {
    const other = createRequire(__filename)('../bundled.js') as typeof import('../index.js');
    expect(other.RetryAfter).not.toBe(RetryAfter);
    expect(new other.RetryAfter(1)).toBeInstanceOf(RetryAfter);
    expect(new other.Unrecoverable('x')).toBeInstanceOf(Unrecoverable);
    expect(new other.Unrecoverable('x')).not.toBeInstanceOf(RetryAfter);
    expect((await throwing(new other.RetryAfter(3_000))).delay).toBeCloseTo(3_000, 0);
    await jobs.database.query('truncate job_queue');
    expect((await throwing(new other.Unrecoverable('x'))).delay).toBeNull();
  });

  test.each([
    [
      'a proxy',
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('touched');
          },
        },
      ),
    ],
    ['null', null],
    [
      'an error with another time',
      Object.assign(new Error('x'), {
        [Symbol.for('pg-bg-job-queue.RetryAfter')]: { after: 'soon' },
      }),
    ],
  ])('%s has the usual delay', async (_, thrown) => {
    expect((await throwing(thrown)).delay).toBeCloseTo(2 * MINUTE, 0);
  });

  test.each([[-1], [Number.NaN], [new Date('no')], ['5' as unknown as number]])(
    'RetryAfter of %o is refused where it is made',
    (when) => {
      expect(() => new RetryAfter(when)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    },
  );
});
