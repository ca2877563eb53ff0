/** Handlers that put their jobs off. */
import { expect, test } from 'vitest';
import { createRouteHandler, currentJob, type ProcessorOptions } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** Milliseconds from now, by the database's clock, until the job is due. */
async function wait(id: number): Promise<number> {
  const [row] = await jobs.database.query<{ ms: number }>(
    'select extract(epoch from ready_at - updated_at)::float8 * 1000 as ms from job_queue where id = $1',
    [id],
  );
  return row?.ms ?? Number.NaN;
}

/** Runs one job with this handler, and gives its row and what `onJobFailed` was told. */
async function run(
  job: () => Promise<void>,
  columns: Record<string, string> = {},
  options: ProcessorOptions = {},
) {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1, columns);
  const failed = new Journal();
  const processor = queue.createProcessor(
    { job },
    { onJobFailed: (error) => failed.note(error), onError: () => {}, ...options },
  );
  expect(await processor.start()).toBe(1);
  return { id, queue, processor, failed: failed.notes, row: await jobs.row(id) };
}

const snoozing = async () => currentJob().snooze(60_000);

test('the job is pending again at that time, and the attempt is not counted', async () => {
  const { id, queue, processor, failed, row } = await run(snoozing, {}, { removeOnComplete: true });
  expect(row).toMatchObject({
    status: 'pending',
    attempts: 0,
    snoozes: 1,
    locked_at: null,
    locked_by: null,
    error_history: [],
  });
  expect(await wait(id)).toBeCloseTo(60_000, 0);
  expect(failed).toEqual([]);
  expect(await processor.start()).toBe(0);
  await jobs.update('next_attempt_at = now()', id);
  expect(await processor.start()).toBe(1);
  expect(await queue.getJob(id)).toMatchObject({ status: 'pending', attempts: 0, snoozes: 2 });
});

test('the last attempt is not used up by it', async () => {
  let runs = 0;
  const once = async () => {
    if (runs++ === 0) currentJob().snooze(0);
  };
  const { id, processor, row } = await run(once, { max_attempts: '1' });
  expect(row).toMatchObject({ status: 'pending', attempts: 0 });
  await jobs.update('next_attempt_at = now()', id);
  expect(await processor.start()).toBe(1);
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1, snoozes: 1 });
});

test.each<[string, number | Date]>([
  ['0 milliseconds', 0],
  ['a Date in the past', new Date(0)],
])('it is a second at the least: %s', async (_, when) => {
  const { id } = await run(async () => currentJob().snooze(when));
  expect(await wait(id)).toBeCloseTo(1_000, 0);
});

test('a Date names the time, and the last call counts', async () => {
  const at = new Date(Date.now() + 3_600_000);
  const { row } = await run(async () => {
    const { snooze } = currentJob();
    snooze(5);
    snooze(at);
  });
  expect(row.next_attempt_at).toEqual(at);
});

test('a handler that throws has failed, and its job is not put off', async () => {
  const { failed, row } = await run(async () => {
    currentJob().snooze(5);
    throw new Error('no');
  });
  expect(row).toMatchObject({ status: 'failed', attempts: 1, snoozes: null });
  expect(failed).toHaveLength(1);
});

test.each([
  ['commit', { status: 'completed', attempts: 1, snoozes: null }],
  ['rollback', { status: 'pending', attempts: 0, snoozes: 1 }],
])('with completeIn, after a %s', async (end, expected) => {
  const { id } = await run(async () => {
    const { completeIn, snooze } = currentJob();
    snooze(60_000);
    const client = await jobs.database.pool.connect();
    try {
      await client.query('begin');
      await completeIn(client);
      await client.query(end);
    } finally {
      client.release();
    }
  });
  await jobs.untilStatus(id, expected.status);
  expect(await jobs.row(id)).toMatchObject(expected);
});

test('a job that is cancelled is not put off', async () => {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1);
  const job = async () => {
    currentJob().snooze(5);
    await queue.cancelJob(id);
  };
  await queue.createProcessor({ job }).start();
  expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
});

test('a run whose time is up has failed', async () => {
  const { row } = await run(
    async () => {
      currentJob().snooze(5);
      await new Promise(() => {});
    },
    { timeout_ms: '50' },
  );
  expect(row).toMatchObject({ status: 'failed', attempts: 1, snoozes: null });
});

test('a job that may not be pending again has failed and is due at that time', async () => {
  await jobs.database.query(
    `create unique index one_pending on job_queue (job_type) where status = 'pending'`,
  );
  try {
    const { id, row } = await run(async () => {
      currentJob().snooze(60_000);
      await jobs.insert(1);
    });
    expect(row).toMatchObject({ status: 'failed', attempts: 0, snoozes: 1 });
    expect(await wait(id)).toBeCloseTo(60_000, 0);
  } finally {
    await jobs.database.query('drop index one_pending');
  }
});

test.each([[-1], [Number.NaN], [new Date('no')], ['5' as unknown as number]])(
  'refuses %o',
  async (when) => {
    const { failed } = await run(async () => currentJob().snooze(when));
    expect(failed).toMatchObject([
      {
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('currentJob().snooze: when must'),
      },
    ]);
  },
);

test('a route counts the jobs that were put off', async () => {
  const queue = await jobs.openQueue();
  await jobs.insert(2);
  const { GET } = createRouteHandler(async () => queue, { job: snoozing }, { secret: 's' });
  const answer = await GET(new Request('http://app/', { headers: { authorization: 'Bearer s' } }));
  expect(await answer.json()).toMatchObject({
    processed: 2,
    completed: 0,
    handedBack: 0,
    snoozed: 2,
    nextDueAt: expect.any(String),
  });
});
