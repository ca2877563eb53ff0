/** Due jobs of types that a processor has no handler for: see `unknownTypes`. */
import { describe, expect, test } from 'vitest';
import {
  createRouteHandler,
  type JobQueue,
  JobQueueError,
  type ProcessorOptions,
} from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';

const jobs = useJobs();

const REASON = 'No handler registered for job type: new';

/** A processor of jobs of the type `job`, which notes their payloads and what `onError` is told. */
function oldWorker(queue: JobQueue, options: ProcessorOptions = {}) {
  const ran = new Journal();
  const errors = new Journal<JobQueueError>();
  const handlers = { job: async (payload: unknown) => ran.note(payload) };
  const onError = (error: JobQueueError) => errors.note(error);
  const processor = queue.createProcessor(handlers, { onError, ...options });
  return { processor, ran, errors: errors.notes };
}

/** How often the jobs of a type were claimed. */
async function met(jobType: string): Promise<number> {
  const [row] = await jobs.database.query<{ met: number }>(
    'select count(*) filter (where run_no > 0)::int as met from job_queue where job_type = $1',
    [jobType],
  );
  return row?.met ?? Number.NaN;
}

describe('a job of a type without a handler', () => {
  test.each(['1', '3'])('is left, its attempt not counted, of %s', async (max_attempts) => {
    const [id = 0] = await jobs.insert(1, { job_type: "'new'", max_attempts });
    await jobs.insert(1);
    const queue = await jobs.openQueue();
    const { processor, ran, errors } = oldWorker(queue);
    expect(await processor.start()).toBe(1);
    expect(ran.notes).toEqual([1]);
    const left = { status: 'pending', attempts: 0, locked_at: null, error_history: [] };
    expect(await queue.getJob(id)).toMatchObject({ ...left, pending_reason: REASON });
    expect(errors).toEqual([expect.any(JobQueueError)]);
    expect(errors[0]).toMatchObject({
      code: 'NO_HANDLER',
      message: expect.stringContaining(REASON),
    });
    expect(errors[0]?.message).toContain(`Job ${id} `);
  });

  test('is run by a processor that has one', async () => {
    const [id = 0] = await jobs.insert(1, { job_type: "'new'" });
    const queue = await jobs.openQueue();
    await oldWorker(queue).processor.start();
    const handlers = { job: async () => {}, new: async () => {} };
    expect(await queue.createProcessor(handlers).start()).toBe(1);
    expect(await queue.getJob(id)).toMatchObject({
      status: 'completed',
      attempts: 1,
      pending_reason: null,
    });
  });

  test('is met once, and told once, by all processors of the queue with these handlers', async () => {
    await jobs.insert(3, { job_type: "'new'", priority: '1' });
    const queue = await jobs.openQueue();
    const first = oldWorker(queue, { batchSize: 2 });
    expect(await first.processor.start()).toBe(0);
    expect(first.errors).toHaveLength(1);
    expect(await met('new')).toBe(2);
    await jobs.insert(3);
    const second = oldWorker(queue, { batchSize: 2 });
    expect(await second.processor.start()).toBe(2);
    expect(await second.processor.start()).toBe(1);
    expect(second.errors).toEqual([]);
    expect(await met('new')).toBe(2);
  });

  test('is told for each type', async () => {
    await jobs.insert(3, { job_type: "'new ' || n" });
    const { processor, errors } = oldWorker(await jobs.openQueue());
    await processor.start();
    expect(errors.map((error) => error.message.split('. ')[0]).sort()).toEqual(
      [1, 2, 3].map((n) => `No handler registered for job type: new ${n}`),
    );
  });

  test('is named so that its type cannot forge a line', async () => {
    const [id = 0] = await jobs.insert(1, { job_type: String.raw`E'a\nb\x1b[2K'` });
    const { processor, errors } = oldWorker(await jobs.openQueue());
    await processor.start();
    const shown = String.raw`No handler registered for job type: a\u000ab\u001b[2K`;
    expect(errors[0]?.message).toContain(shown);
    expect((await jobs.row(id)).pending_reason).toBe(shown);
  });

  test('is left where there is no handler at all', async () => {
    await jobs.insert(2, { job_type: "'new'" });
    const queue = await jobs.openQueue();
    const processor = queue.createProcessor({}, { onError: () => {} });
    expect(await processor.start()).toBe(0);
    expect(await processor.start()).toBe(0);
    expect(await jobs.statuses()).toEqual({ pending: 2 });
  });

  test('keeps no other job waiting, however many there are before it', async () => {
    await jobs.insert(5_000, { job_type: "'new'", priority: '1' });
    await jobs.insert(100);
    const { processor, ran } = oldWorker(await jobs.openQueue(), { concurrency: 10 });
    processor.startInBackground();
    await ran.reaches(100);
    await processor.stopAndDrain();
    // One claim has met them.
    expect(await met('new')).toBeLessThanOrEqual(10);
    expect(await jobs.statuses()).toEqual({ completed: 100, pending: 5_000 });
  });

  test('is left by a route, which does the rest, and answers', async () => {
    await jobs.insert(20, { job_type: "'new'", priority: '1' });
    await jobs.insert(20);
    const queue = await jobs.openQueue();
    const errors = new Journal<JobQueueError>();
    const { GET } = createRouteHandler(
      () => queue,
      { job: async () => {} },
      {
        secret: 's',
        onError: (error) => errors.note(error),
      },
    );
    const call = async () => {
      const headers = { authorization: 'Bearer s' };
      const response = await GET(new Request('http://localhost', { headers }));
      return { status: response.status, ...((await response.json()) as object) };
    };
    expect(await call()).toMatchObject({ status: 200, completed: 20, failed: 0 });
    expect(await call()).toMatchObject({ status: 200, completed: 0, handedBack: 0 });
    expect(errors.notes.map((error) => error.code)).toEqual(['NO_HANDLER']);
  });
});

describe('unknownTypes', () => {
  test("'fail' fails the attempt", async () => {
    const [id = 0] = await jobs.insert(1, { job_type: "'new'" });
    const queue = await jobs.openQueue();
    const failed = new Journal<unknown>();
    const onJobFailed = (error: unknown) => failed.note(error);
    const { processor, errors } = oldWorker(queue, { unknownTypes: 'fail', onJobFailed });
    expect(await processor.start()).toBe(1);
    const row = await queue.getJob(id);
    expect(row).toMatchObject({ status: 'failed', attempts: 1, pending_reason: REASON });
    expect(row?.next_attempt_at).toBeInstanceOf(Date);
    expect(failed.notes).toEqual([expect.objectContaining({ code: 'NO_HANDLER' })]);
    expect(errors).toEqual([]);
  });

  test.each([['ignore'], [null], [true]])('refuses %s', async (unknownTypes) => {
    const queue = await jobs.openQueue();
    const options = { unknownTypes } as unknown as ProcessorOptions;
    const message = expect.stringContaining('unknownTypes must be one of leave, fail');
    expect(() => queue.createProcessor({}, options)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message }),
    );
  });
});
