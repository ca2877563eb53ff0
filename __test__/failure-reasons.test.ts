/** What a record says of a job's last run: `started_at`, `completed_at`, `failure_reason`. */
import { expect, test } from 'vitest';
import { currentJob, type JobRecord, type ProcessorOptions } from '../index.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

type Handler = () => Promise<void>;

/** Runs the job, and gives its record. */
async function run(
  id: number,
  job: Handler | null,
  options: ProcessorOptions = {},
): Promise<JobRecord<Record<string, unknown>>> {
  const queue = await jobs.openQueue();
  const handlers: Record<string, Handler> = job ? { job } : {};
  const quiet = { onJobFailed: () => {}, onError: () => {}, retry: { delay: 0 } };
  await queue.createProcessor(handlers, { ...quiet, ...options }).start();
  const record = await queue.getJob(id);
  if (record === null) throw new Error('it is gone');
  return record;
}

const throwing = () => Promise.reject(new Error('no'));
const hanging = () => new Promise<void>(() => {});

test.each<[string, string, Handler | null, Record<string, string>, ProcessorOptions]>([
  ['error', 'a handler that throws', throwing, {}, {}],
  ['timeout', 'a time that is up', hanging, { timeout_ms: '20' }, {}],
  ['no_handler', 'no handler', null, {}, { unknownTypes: 'fail' }],
])('failure_reason is %s for %s', async (reason, _, handler, columns, options) => {
  const [id = 0] = await jobs.insert(1, columns);
  expect(await run(id, handler, options)).toMatchObject({
    status: 'failed',
    failure_reason: reason,
    completed_at: null,
  });
});

test('failure_reason is worker_lost for a lost worker, until another attempt says otherwise', async () => {
  const [id = 0] = await jobs.insert(1, {
    status: "'processing'",
    attempts: '1',
    locked_at: "now() - interval '2 hours'",
    lease_expires_at: "now() - interval '1 hour'",
  });
  expect(await run(id, async () => {}, { jobType: 'job', batchSize: 1 })).toMatchObject({
    status: 'completed',
    failure_reason: null,
  });
  const [last = 0] = await jobs.insert(1, {
    status: "'processing'",
    attempts: '3',
    locked_at: "now() - interval '2 hours'",
    lease_expires_at: "now() - interval '1 hour'",
  });
  expect(await run(last, throwing)).toMatchObject({
    status: 'failed',
    failure_reason: 'worker_lost',
  });
});

test('failure_reason is refused for an outcome that Postgres refuses', async () => {
  const [id = 0] = await jobs.insert(1);
  await jobs.database.query(
    `alter table job_queue add constraint never check (status <> 'completed')`,
  );
  try {
    expect(await run(id, async () => {})).toMatchObject({
      status: 'failed',
      failure_reason: 'refused',
    });
  } finally {
    await jobs.database.query('alter table job_queue drop constraint never');
  }
});

test.each([['settled by the engine'], ['by completeIn']])(
  'failure_reason is gone from a completed job, %s',
  async (how) => {
    const [id = 0] = await jobs.insert(1);
    expect(await run(id, throwing)).toMatchObject({ failure_reason: 'error' });
    const pool = (await jobs.openQueue()).getPool();
    const handler = async () => {
      if (how === 'by completeIn') {
        const client = await pool.connect();
        await client.query('begin');
        await currentJob().completeIn(client);
        await client.query('commit');
        client.release();
      }
    };
    expect(await run(id, handler)).toMatchObject({ status: 'completed', failure_reason: null });
    expect((await jobs.row(id)).failure_reason).toBeNull();
  },
);

test('started_at and completed_at are the times of the last run', async () => {
  const [id = 0] = await jobs.insert(1);
  const queue = await jobs.openQueue();
  expect(await queue.getJob(id)).toMatchObject({ started_at: null, completed_at: null });
  const record = await run(id, async () => {
    const running = await queue.getJob(id);
    expect(running).toMatchObject({ started_at: running?.locked_at, completed_at: null });
    expect(running?.started_at).toBeInstanceOf(Date);
  });
  expect(record).toMatchObject({
    status: 'completed',
    started_at: record.locked_at,
    completed_at: record.updated_at,
  });
  await queue.retryJob(id);
  expect(await queue.getJob(id)).toMatchObject({ started_at: null, completed_at: null });
});
