import { beforeEach, describe, expect, test } from 'vitest';
import type { JobRow, JobStatus } from '../index.js';
import { useDatabase } from './helpers/database.js';
import { jobWith, rejection, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const jobSetTo = (assignments: string) => jobWith(database, assignments);
const clear = () => database.query('truncate job_queue restart identity');
const idsOf = (jobs: { id: number }[]) => jobs.map(({ id }) => id);

const everyColumn = `
  job_type = 'email', payload = '{"to": ["a@b.c"]}', status = 'failed',
  created_at = '2030-01-02 03:04:05.001Z', updated_at = '2030-01-02 03:04:05.002Z',
  locked_at = '2030-01-02 03:04:05.003Z', locked_by = 'worker-1', attempts = 2, max_attempts = 5,
  next_attempt_at = '2030-01-02 03:04:05.004Z', priority = -7, run_at = '2030-01-02 03:04:05.005Z',
  pending_reason = 'because', failure_reason = 'timeout', dead_letter_job_type = 'buried', idempotency_key = 'order-1',
  idempotency_hold = '60000', timeout_ms = 2000,
  snoozes = 6, retry_delay_ms = 3000, retry_factor = 1.5, retry_max_delay_ms = 4000,
  cancel_requested_at = '2030-01-02 03:04:05.006Z',
  error_history = '[{"message": "no", "timestamp": "2030-01-01T00:00:00.000Z", "attempt": 1}]'`;

describe('a record', () => {
  beforeEach(clear);

  test('has every column, times as Dates', async () => {
    const id = await jobSetTo(everyColumn);
    const at = (milliseconds: number) => new Date(Date.UTC(2030, 0, 2, 3, 4, 5, milliseconds));
    const record: JobRow<Record<string, unknown>, string> = {
      id,
      job_type: 'email',
      payload: { to: ['a@b.c'] },
      status: 'failed',
      created_at: at(1),
      updated_at: at(2),
      locked_at: at(3),
      locked_by: 'worker-1',
      started_at: at(3),
      completed_at: null,
      failure_reason: 'timeout',
      dead_letter_job_type: 'buried',
      idempotency_key: 'order-1',
      idempotency_hold: 60_000,
      attempts: 2,
      max_attempts: 5,
      next_attempt_at: at(4),
      priority: -7,
      run_at: at(5),
      pending_reason: 'because',
      timeout_ms: 2000,
      retry_delay_ms: 3000,
      retry_factor: 1.5,
      retry_max_delay_ms: 4000,
      snoozes: 6,
      cancel_requested_at: at(6),
      error_history: [{ message: 'no', timestamp: '2030-01-01T00:00:00.000Z', attempt: 1 }],
    };
    const job = await queue.getJob(id);
    expect(job).toStrictEqual(record);
    expect(job?.created_at).toBeInstanceOf(Date);
    expect(await queue.getJobsByStatus('failed')).toStrictEqual([record]);
    expect(await queue.getAllJobs()).toStrictEqual([record]);
  });

  test('has null for what is absent', async () => {
    const id = await jobSetTo('run_at = null, error_history = null');
    expect(await queue.getJob(id)).toMatchObject({
      locked_at: null,
      locked_by: null,
      next_attempt_at: null,
      run_at: null,
      pending_reason: null,
      error_history: [],
    });
  });

  test.each(['null', '{}', '"text"', '1'])(
    'has no history where a hand has written %s',
    async (json) => {
      const id = await jobSetTo(`error_history = '${json}'`);
      expect(await queue.getJob(id)).toMatchObject({ error_history: [] });
    },
  );

  test('tells each failed attempt', async () => {
    const id = await queue.addJob({ job_type: 'task', payload: {} });
    const attempts = ['first', 'second'];
    const processor = queue.createProcessor({
      task: async () => {
        throw new TypeError(attempts.shift());
      },
    });
    await processor.start();
    await queue.retryJob(id);
    await processor.start();
    const entry = (attempt: number, message: string) => ({
      message,
      attempt,
      name: 'TypeError',
      stack: expect.stringContaining(__filename),
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    const history = (await queue.getJob(id))?.error_history;
    expect(history).toStrictEqual([entry(1, 'first'), entry(2, 'second')]);
    const [first, second] = history?.map(({ timestamp }) => timestamp) ?? [];
    expect([first, second]).toEqual([first, second].sort());
  });

  test('is read to the millisecond, cut and not rounded', async () => {
    const id = await jobSetTo(`run_at = '2030-01-02 03:04:05.678999Z'`);
    expect((await queue.getJob(id))?.run_at).toEqual(new Date('2030-01-02T03:04:05.678Z'));
  });

  test('has the nearest Date there is for times that a Date cannot tell', async () => {
    const id = await jobSetTo(`run_at = 'infinity', next_attempt_at = '-infinity',
      created_at = '-infinity', updated_at = 'infinity', locked_at = '294276-12-31'`);
    const [first, last] = [new Date(-8.64e15), new Date(8.64e15)];
    const record = {
      id,
      run_at: last,
      next_attempt_at: first,
      created_at: first,
      updated_at: last,
      locked_at: last,
    };
    expect(await queue.getJob(id)).toMatchObject(record);
    expect(await queue.getAllJobs()).toMatchObject([record]);
    expect(await queue.getJobsByStatus('pending')).toMatchObject([record]);
  });
});

describe('getJob', () => {
  beforeEach(clear);

  test('takes an id as a number or in digits', async () => {
    const id = await jobSetTo('');
    const job = await queue.getJob(id);
    expect(job).toMatchObject({ id });
    expect(await queue.getJob(String(id))).toEqual(job);
  });

  test.each([1, '1', 2 ** 31, Number.MAX_SAFE_INTEGER])('gives null for no job: %s', async (id) => {
    expect(await queue.getJob(id)).toBeNull();
  });

  test('reads ids beyond 32 bits', async () => {
    await jobSetTo(`id = ${2 ** 40}`);
    expect(await queue.getJob(2 ** 40)).toMatchObject({ id: 2 ** 40 });
  });

  test.each([0, -1, 1.5, Number.NaN, '', '0', '1.0', ' 1', '1e3', 'abc', null, undefined, {}, 1n])(
    'refuses what is no id: %o',
    async (id) => {
      await rejection(queue.getJob(id as number), 'INVALID_ARGUMENT', /^getJob: id must be/);
    },
  );
});

describe('lists', () => {
  const statuses = ['pending', 'processing', 'completed', 'failed', 'cancelled', 'on hold'];

  /** The ids in the order in which they are to be listed. */
  const idsInOrder = async (where = 'true') =>
    (
      await database.query<{ id: string }>(
        `select id from job_queue where ${where} order by created_at desc, id desc`,
      )
    ).map(({ id }) => Number(id));

  beforeEach(async () => {
    await clear();
    // Of every status, added at seven times that repeat across them.
    await database.query(
      `insert into job_queue (job_type, payload, status, created_at)
       select 'task', '{}', ($1::text[])[1 + n % 6], timestamptz '2030-01-01Z' + n * 5 % 7 * interval '1 h'
       from generate_series(1, 130) n`,
      [statuses],
    );
  });

  test('of all jobs are in the order newest first, those of the same moment by id', async () => {
    expect(idsOf(await queue.getAllJobs(1000))).toEqual(await idsInOrder());
  });

  test.each(statuses.slice(0, 5) as JobStatus[])('of %s jobs are in the same order', async (of) => {
    const jobs = await queue.getJobsByStatus(of);
    expect(idsOf(jobs)).toEqual(await idsInOrder(`status = '${of}'`));
    expect(new Set(jobs.map(({ status }) => status))).toEqual(new Set([of]));
  });

  test('are of a hundred jobs unless another limit is given', async () => {
    const ids = await idsInOrder();
    expect(idsOf(await queue.getAllJobs())).toEqual(ids.slice(0, 100));
    expect(idsOf(await queue.getAllJobs(undefined, 70))).toEqual(ids.slice(70));
    await database.query(`update job_queue set status = 'pending'`);
    expect(idsOf(await queue.getJobsByStatus('pending'))).toEqual(ids.slice(0, 100));
    expect(idsOf(await queue.getJobsByStatus('pending', undefined, 70))).toEqual(ids.slice(70));
  });

  test('can be paged through, with nothing twice and nothing left out', async () => {
    const ids = await idsInOrder();
    const pending = await idsInOrder(`status = 'pending'`);
    for (let offset = 0; offset < 140; offset += 17) {
      const end = offset + 17;
      expect(idsOf(await queue.getAllJobs(17, offset))).toEqual(ids.slice(offset, end));
      const page = await queue.getJobsByStatus('pending', 17, offset);
      expect(idsOf(page)).toEqual(pending.slice(offset, end));
    }
  });

  test('are empty with limit 0, beyond the end, and of a status that no job has', async () => {
    expect(await queue.getAllJobs(0)).toEqual([]);
    expect(await queue.getJobsByStatus('pending', 0)).toEqual([]);
    expect(await queue.getAllJobs(10, 130)).toEqual([]);
    expect(await queue.getAllJobs(2147483647, 2147483647)).toEqual([]);
    await database.query(`update job_queue set status = 'pending' where status = 'failed'`);
    expect(await queue.getJobsByStatus('failed')).toEqual([]);
    await clear();
    expect(await queue.getAllJobs()).toEqual([]);
  });

  test('of all jobs have those of a status that only a hand can have written', async () => {
    const id = await jobSetTo(`status = 'on hold', created_at = '2040-01-01'`);
    expect(await queue.getAllJobs(1)).toMatchObject([{ id, status: 'on hold' }]);
    expect(await queue.getJob(id)).toMatchObject({ status: 'on hold' });
  });

  test.each<[() => Promise<unknown>, RegExp]>([
    [() => queue.getAllJobs(-1), /getAllJobs: limit must be an integer between 0 and 2147483647/],
    [() => queue.getAllJobs(1, 1.5), /getAllJobs: offset must be an integer/],
    [() => queue.getJobsByStatus('pending', 2147483648), /getJobsByStatus: limit must be/],
    [
      () => queue.getJobsByStatus('complete' as JobStatus),
      /getJobsByStatus: status must be one of .*completed.*did you mean completed/,
    ],
  ])('refuse what is no page and no status: %s', async (list, message) => {
    await rejection(list(), 'INVALID_ARGUMENT', message);
  });
});
