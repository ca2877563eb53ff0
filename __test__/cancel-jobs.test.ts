import { beforeEach, describe, expect, test } from 'vitest';
import type { CancelFilters } from '../index.js';
import { useDatabase } from './helpers/database.js';
import { jobWith, rejection, runDueJobs, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const jobSetTo = (assignments = '') => jobWith(database, assignments);
const statusOf = async (id: number) => (await queue.getJob(id))?.status;
const cancelled = async () =>
  (await queue.getJobsByStatus('cancelled')).map(({ id }) => id).reverse();

beforeEach(() => database.query('truncate job_queue'));

describe('cancelJob', () => {
  test.each([
    ['is due', ''],
    ['is scheduled', `run_at = now() + interval '1 day'`],
    ['was tried and is pending again', 'attempts = 1'],
    ['is pending with no attempts left', 'attempts = 3'],
    [
      'has failed and waits for its next attempt',
      `status = 'failed', attempts = 1, next_attempt_at = now() + interval '2 min'`,
    ],
  ])('cancels a job that %s, so that it never runs', async (_, state) => {
    const id = await jobSetTo(state);
    const before = await queue.getJob(id);
    expect(await queue.cancelJob(id)).toBeUndefined();
    const after = await queue.getJob(id);
    expect(after).toEqual({ ...before, status: 'cancelled', updated_at: after?.updated_at });
    await database.query(`update job_queue set run_at = now(), next_attempt_at = now()`);
    expect(await runDueJobs(queue)).toEqual([]);
    expect(await statusOf(id)).toBe('cancelled');
  });

  test.each([
    ['has completed', `status = 'completed', attempts = 1`],
    ['has failed for good', `status = 'failed', attempts = 3`],
    ['is cancelled already', `status = 'cancelled'`],
    ['has a status that a hand has made up', `status = 'on hold'`],
  ])('leaves a job as it is that %s', async (_, state) => {
    const id = await jobSetTo(state);
    const before = await queue.getJob(id);
    expect(await queue.cancelJob(id)).toBeUndefined();
    expect(await queue.getJob(id)).toEqual(before);
  });

  test('of an id that no job has is no error, and cancels nothing', async () => {
    const id = await jobSetTo();
    expect(await queue.cancelJob(id + 1)).toBeUndefined();
    expect(await statusOf(id)).toBe('pending');
  });

  test('takes the id in digits, as a JSON body has it, and refuses what is no id', async () => {
    const id = await jobSetTo();
    await queue.cancelJob(String(id));
    expect(await statusOf(id)).toBe('cancelled');
    await rejection(queue.cancelJob('all'), 'INVALID_ARGUMENT', /^cancelJob: id must be/);
  });
});

describe('cancelAllUpcomingJobs', () => {
  test('cancels what is pending, due or scheduled, and nothing else', async () => {
    const pending = [await jobSetTo(), await jobSetTo(`run_at = now() + interval '1 day'`)];
    const others = [
      await jobSetTo(`status = 'processing'`),
      await jobSetTo(`status = 'completed'`),
      await jobSetTo(`status = 'failed', attempts = 1, next_attempt_at = now()`),
      await jobSetTo(`status = 'on hold'`),
    ];
    const before = await Promise.all(others.map((id) => queue.getJob(id)));
    expect(await queue.cancelAllUpcomingJobs()).toBe(2);
    expect(await cancelled()).toEqual(pending);
    expect(await Promise.all(others.map((id) => queue.getJob(id)))).toEqual(before);
    expect(await queue.cancelAllUpcomingJobs()).toBe(0);
  });

  test('keeps what it cancels from running', async () => {
    await jobSetTo();
    await queue.cancelAllUpcomingJobs({});
    expect(await runDueJobs(queue)).toEqual([]);
  });

  const runAt = '2030-01-02T03:04:05.678Z';
  const filters = { job_type: 'email', priority: 2, run_at: new Date(runAt) };

  // Every one of these jobs differs from the filters in other fields.
  const jobs = [
    { job_type: 'email', priority: 2, run_at: runAt },
    { job_type: 'email', priority: 2, run_at: '2030-01-02T03:04:05.679Z' },
    { job_type: 'email', priority: 3, run_at: runAt },
    { job_type: 'email', priority: -2, run_at: null },
    { job_type: 'Email', priority: 2, run_at: runAt },
    { job_type: 'email ', priority: 2, run_at: '2030-01-02T03:04:05.677Z' },
    { job_type: 'report', priority: 0, run_at: runAt },
  ];

  const keys = ['job_type', 'priority', 'run_at'] as const;
  const combinations = Array.from({ length: 8 }, (_, bits) =>
    keys.filter((_, i) => bits & (1 << i)),
  );

  test.each(combinations.map((chosen) => [chosen.join(' and ') || 'nothing', chosen] as const))(
    'filters by %s',
    async (_, chosen) => {
      const expected: number[] = [];
      for (const { job_type, priority, run_at } of jobs) {
        const time = run_at === null ? 'null' : `'${run_at}'`;
        const id = await jobSetTo(
          `job_type = '${job_type}', priority = ${priority}, run_at = ${time}`,
        );
        const record = await queue.getJob(id);
        if (chosen.every((key) => record?.[key]?.valueOf() === filters[key].valueOf())) {
          expected.push(id);
        }
      }
      const chosenFilters = Object.fromEntries(chosen.map((key) => [key, filters[key]]));
      expect(await queue.cancelAllUpcomingJobs(chosenFilters)).toBe(expected.length);
      expect(await cancelled()).toEqual(expected);
      expect(expected.length).toBeGreaterThan(0);
    },
  );

  test('filters only pending jobs', async () => {
    const [pending] = [await jobSetTo('priority = 7'), await jobSetTo(`status = 'failed'`)];
    expect(await queue.cancelAllUpcomingJobs({ job_type: 'task' })).toBe(1);
    expect(await cancelled()).toEqual([pending]);
  });

  test('finds a time to the millisecond, as records tell it', async () => {
    const id = await jobSetTo(`run_at = '2030-01-02 03:04:05.678901Z'`);
    await jobSetTo(`run_at = '2030-01-02 03:04:05.677999Z'`);
    await jobSetTo(`run_at = 'infinity'`);
    const job = await queue.getJob(id);
    expect(await queue.cancelAllUpcomingJobs({ run_at: job?.run_at as Date })).toBe(1);
    expect(await cancelled()).toEqual([id]);
  });

  test('finds a job by the time that it was added with, also before 1970', async () => {
    const run_at = new Date('1969-12-31T23:59:59.999Z');
    const id = await queue.addJob({ job_type: 'task', payload: {}, run_at });
    expect(await queue.cancelAllUpcomingJobs({ run_at })).toBe(1);
    expect(await cancelled()).toEqual([id]);
  });

  test('takes a filter that is undefined for one that is absent', async () => {
    await jobSetTo();
    const absent = { job_type: undefined, priority: undefined, run_at: undefined };
    expect(await queue.cancelAllUpcomingJobs({ ...absent, priority: 1 })).toBe(0);
    expect(await queue.cancelAllUpcomingJobs(absent)).toBe(1);
  });

  test.each<[unknown, string]>([
    [{ jobType: 'task' }, 'unknown filter "jobType" (did you mean job_type?)'],
    [{ status: 'pending' }, 'unknown filter "status"'],
    [{ job_type: 'task', payload: {} }, 'unknown filter "payload"'],
    [{ job_type: null }, 'job_type must be a string'],
    [{ priority: '2' }, 'priority must be an integer'],
    [{ run_at: null }, 'run_at must be a valid Date, got null'],
    [{ run_at: runAt }, 'run_at must be a valid Date, got a string'],
    [null, 'filters must be an object, got null'],
    ['task', 'filters must be an object, got a string'],
  ])('refuses a filter that it does not know, and cancels nothing: %o', async (given, message) => {
    const id = await jobSetTo();
    const { message: said } = await rejection(
      queue.cancelAllUpcomingJobs(given as CancelFilters<unknown>),
      'INVALID_ARGUMENT',
    );
    expect(said).toContain(`cancelAllUpcomingJobs: ${message}`);
    expect(await statusOf(id)).toBe('pending');
  });
});
