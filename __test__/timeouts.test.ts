import { describe, expect, test } from 'vitest';
import { currentJob, JobQueueError } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

/** Resolves to the reason when the signal of the running job aborts. */
const aborted = ({ signal } = currentJob()) =>
  new Promise<JobQueueError>((resolve) => {
    signal.addEventListener('abort', () => resolve(signal.reason));
  });

const entry = (ms: number, attempt = 1) => ({
  name: 'Timeout',
  message: `Timed out after ${ms} ms`,
  attempt,
  timestamp: expect.any(String),
});

describe('a job with timeout_ms', () => {
  test('fails when its time is up, is told why, and may be tried again', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob({ job_type: 'job', payload: 1, timeout_ms: 60 });
    const reasons: JobQueueError[] = [];
    const ran = await queue
      .createProcessor({ job: async () => void reasons.push(await aborted()) })
      .start();

    expect(ran).toBe(1);
    expect(await jobs.row(id)).toMatchObject({
      status: 'failed',
      attempts: 1,
      timeout_ms: 60,
      next_attempt_at: expect.any(Date),
      error_history: [entry(60)],
    });
    await until(() => reasons.length === 1);
    expect(reasons[0]).toBeInstanceOf(JobQueueError);
    expect(reasons[0]).toMatchObject({
      code: 'TIMEOUT',
      message: `job ${id} has timed out after 60 ms`,
    });
  });

  test('frees its slot though its handler never returns, and what that says later is not heard', async () => {
    const queue = await jobs.openQueue();
    const endless = deferred();
    const errors: JobQueueError[] = [];
    const journal = new Journal<number>();
    const first = await queue.addJob({ job_type: 'job', payload: 1, timeout_ms: 50 });
    const second = await queue.addJob({ job_type: 'job', payload: 2, timeout_ms: 60_000 });
    const processor = queue.createProcessor(
      {
        job: async (payload: number) => {
          journal.note(payload);
          if (payload === 1) await endless.promise;
        },
      },
      { concurrency: 1, onError: (error) => errors.push(error) },
    );
    expect(await processor.start()).toBe(2);
    endless.resolve();

    expect(journal.notes).toEqual([1, 2]);
    expect(await jobs.row(first)).toMatchObject({ status: 'failed', error_history: [entry(50)] });
    expect(await jobs.row(second)).toMatchObject({ status: 'completed' });
    expect(errors).toEqual([]);
  });

  test('that blocks the event loop has failed in the database before the handler returns', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob({ job_type: 'job', payload: 1, timeout_ms: 50 });
    const seen: unknown[] = [];
    await queue
      .createProcessor({
        job: async () => {
          const end = Date.now() + 400;
          while (Date.now() < end);
          seen.push((await jobs.row(id)).status);
        },
      })
      .start();
    await until(() => seen.length === 1);
    expect(seen).toEqual(['failed']);
  });

  test('ends for good with its last attempt', async () => {
    const queue = await jobs.openQueue();
    const job = { job_type: 'job', payload: 1, timeout_ms: 20, max_attempts: 1 };
    const id = await queue.addJob(job);
    await queue.createProcessor({ job: () => new Promise(() => {}) }).start();
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', next_attempt_at: null });
  });
});

describe('defaultTimeout', () => {
  test('holds for jobs that do not say, and gives way to those that do', async () => {
    const queue = await jobs.openQueue();
    const silent = await queue.addJob({ job_type: 'job', payload: 1 });
    const longer = await queue.addJob({ job_type: 'job', payload: 2, timeout_ms: 200 });
    const handler = () => new Promise<void>(() => {});
    await queue.createProcessor({ job: handler }, { defaultTimeout: 40 }).start();
    expect(await jobs.row(silent)).toMatchObject({ error_history: [entry(40)] });
    expect(await jobs.row(longer)).toMatchObject({ error_history: [entry(200)] });
  });

  test('is none: a job may take as long as it takes', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    await queue.createProcessor({ job: async () => currentJob().extendTimeout(1) }).start();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
  });
});

describe('extendTimeout', () => {
  test('lets a run go on', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob({ job_type: 'job', payload: 1, timeout_ms: 100 });
    await queue
      .createProcessor({
        job: async () => {
          const run = currentJob();
          run.extendTimeout(60_000);
          // Longer than the time that the job was given.
          await jobs.database.query('select pg_sleep(0.3)');
          expect(run.signal.aborted).toBe(false);
        },
      })
      .start();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', error_history: [] });
  });

  test.each([0, -1, 1.5, Number.NaN, 2 ** 31, '5', null, undefined])('refuses %s', async (ms) => {
    const queue = await jobs.openQueue();
    await jobs.insert(1);
    const thrown = new Journal<unknown>();
    const job = async () => {
      try {
        currentJob().extendTimeout(ms as number);
      } catch (error) {
        thrown.note(error);
      }
    };
    await queue.createProcessor({ job }).start();
    expect(thrown.notes).toEqual([expect.objectContaining({ code: 'INVALID_ARGUMENT' })]);
  });
});
