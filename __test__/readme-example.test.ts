/** The code of the README, as it stands there, in the application that it describes. */
import { beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { JobQueue } from '../index.js';
import { useJobs } from './helpers/jobs.js';

const outbox = vi.hoisted(() => ({ sendEmail: vi.fn(), generateReport: vi.fn() }));

vi.mock('pg-bg-job-queue', () => import('../index.js'));
vi.mock('next/server', () => ({ NextResponse: Response }));
vi.mock('next/cache', () => ({ revalidatePath: () => {} }));
vi.mock('@/lib/queue', () => load('lib/queue'));
vi.mock('@/lib/job-handler', () => load('lib/job-handler'));
vi.mock('./types/original/lib/services/email.ts', () => outbox);
vi.mock('./types/original/lib/services/generate-report.ts', () => outbox);

/** A module of that application. The compiler does not follow: it checks them in a project apart. */
const load = (path: string) => import(/* @vite-ignore */ `./types/original/${path}.ts`);

const jobs = useJobs();
const SECRET = 'cron secret';
let queue: JobQueue;

beforeAll(async () => {
  vi.stubEnv('PG_BG_JOB_QUEUE_DATABASE', jobs.database.url);
  vi.stubEnv('CRON_SECRET', SECRET);
  queue = await (await load('lib/queue')).getJobQueue();
  return () => queue.close();
});

beforeEach(() => {
  vi.resetAllMocks();
  vi.spyOn(console, 'log').mockImplementation(() => {});
});

async function callCron(route: string, secret = SECRET) {
  const { GET } = await load(`app/api/cron/${route}/route`);
  const headers = { authorization: `Bearer ${secret}` };
  return answer(await GET(new Request('https://app/', { headers })));
}

async function post(route: string, body?: unknown) {
  const { POST } = await load(`app/api/jobs/${route}/route`);
  const init = { method: 'POST', body: JSON.stringify(body) };
  return answer(await POST(new Request('https://app/', init)));
}

async function answer(response: Response) {
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const addEmail = (to = 'a@b.c', more = {}) =>
  queue.addJob({ job_type: 'send_email', payload: { to, subject: 's', body: 'b' }, ...more });

test('sections 4 and 5: an email that a server function schedules is sent by the cron route', async () => {
  const { sendEmail } = await load('app/jobs/email');
  const { job } = await sendEmail({ name: 'Ada', email: 'ada@lovelace.org' });
  expect(await jobs.row(job)).toMatchObject({ status: 'pending', priority: 10 });
  expect(await callCron('process')).toMatchObject({ body: { processed: 0 } });

  await jobs.update('run_at = now()', job);
  expect(await callCron('process')).toEqual({
    status: 200,
    body: { message: 'Job processing completed', processed: 1 },
  });

  expect(outbox.sendEmail).toHaveBeenCalledExactlyOnceWith(
    'ada@lovelace.org',
    'Welcome to our platform!',
    'Hi Ada, welcome to our platform!',
  );
  expect(await jobs.row(job)).toMatchObject({
    status: 'completed',
    locked_by: expect.stringMatching(/^cron-\d+$/),
  });
});

describe('section 5', () => {
  test('a call runs a batch of ten, three at a time', async () => {
    let inside = 0;
    let most = 0;
    outbox.generateReport.mockImplementation(async () => {
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside--;
    });
    for (let n = 0; n < 12; n++) {
      const payload = { reportId: String(n), userId: 'u' };
      await queue.addJob({ job_type: 'generate_report', payload });
    }
    expect(await callCron('process')).toMatchObject({ body: { processed: 10 } });
    expect(await callCron('process')).toMatchObject({ body: { processed: 2 } });
    expect(most).toBe(3);
  });

  test('a job that fails is tried again, and its errors are kept', async () => {
    const id = await addEmail();
    outbox.sendEmail.mockRejectedValueOnce(new Error('mailbox full'));
    await callCron('process');
    expect(await queue.getJob(id)).toMatchObject({
      status: 'failed',
      error_history: [{ message: 'mailbox full' }],
    });
    expect(await callCron('process')).toMatchObject({ body: { processed: 0 } });
    await jobs.update('next_attempt_at = now()', id);
    expect(await callCron('process')).toMatchObject({ body: { processed: 1 } });
    expect(await queue.getJob(id)).toMatchObject({ status: 'completed', attempts: 2 });
  });

  test('calls that overlap run each job once', async () => {
    await jobs.insert(30, { job_type: "'send_email'", payload: `'{}'` });
    const calls = await Promise.all([1, 2, 3].map(() => callCron('process')));
    expect(calls.map(({ body }) => body.processed)).toEqual([10, 10, 10]);
    expect(outbox.sendEmail).toHaveBeenCalledTimes(30);
  });

  test.each(['process', 'reclaim', 'cleanup'])('only cron may call %s', async (route) => {
    expect(await callCron(route, 'guessed')).toEqual({
      status: 401,
      body: { message: 'Unauthorized' },
    });
  });

  test('the log tells what happens, and no payload', async () => {
    await addEmail('private@person.org');
    await callCron('process');
    const lines = vi.mocked(console.log).mock.calls.flat().join('\n');
    expect(lines).toContain('send_email');
    expect(lines).not.toContain('private');
  });

  test('a database without the tables is an answer of 500, and the log says what to do', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    await jobs.database.query('alter table job_queue rename to job_queue_away');
    onTestFinished(async () => {
      await jobs.database.query('alter table job_queue_away rename to job_queue');
    });
    expect(await callCron('process')).toEqual({
      status: 500,
      body: { message: 'Failed to process jobs' },
    });
    expect(printed).toHaveBeenCalledWith(
      'Error processing jobs:',
      expect.objectContaining({ message: expect.stringContaining('pg-bg-job-queue-cli migrate') }),
    );
  });
});

test('section 6: jobs of a killed process are put back, those that run are not', async () => {
  const stuck = { status: "'processing'", attempts: '1', job_type: "'send_email'" };
  const [old = 0] = await jobs.insert(1, { ...stuck, locked_at: "now() - interval '11 minutes'" });
  const [recent = 0] = await jobs.insert(1, {
    ...stuck,
    locked_at: "now() - interval '9 minutes'",
  });
  expect(await callCron('reclaim')).toEqual({
    status: 200,
    body: { message: 'Stuck jobs reclaimed', reclaimed: 1 },
  });
  expect(await jobs.row(old)).toMatchObject({ status: 'pending' });
  expect(await jobs.row(recent)).toMatchObject({ status: 'processing' });
});

test('section 7: jobs that were completed more than thirty days ago are deleted', async () => {
  const completed = { status: "'completed'" };
  await jobs.insert(3, { ...completed, updated_at: "now() - interval '31 days'" });
  await jobs.insert(2, { ...completed, updated_at: "now() - interval '29 days'" });
  expect(await callCron('cleanup')).toEqual({
    status: 200,
    body: { message: 'Old jobs cleaned up', deleted: 3 },
  });
  expect(await jobs.statuses()).toEqual({ completed: 2 });
});

describe('section 8', () => {
  test.each([
    ['a number', Number],
    ['the digits of one', String],
  ])('a job is cancelled by its id, %s', async (_, form) => {
    const id = await addEmail();
    expect(await post('cancel', { jobId: form(id) })).toEqual({
      status: 200,
      body: { message: 'Job cancelled' },
    });
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
    expect(await callCron('process')).toMatchObject({ body: { processed: 0 } });
  });

  test('an id that is none is an answer of 500', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    expect((await post('cancel', { jobId: 'all of them' })).status).toBe(500);
    expect(printed.mock.calls[0]?.[1]).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

test('section 9: all upcoming jobs are cancelled, or those that match', async () => {
  const at = new Date('2044-06-01T12:00:00Z');
  await addEmail('1');
  await addEmail('2', { priority: 2 });
  await addEmail('3', { priority: 2, run_at: at });
  const report = { job_type: 'generate_report', payload: { reportId: 'r', userId: 'u' } };
  await queue.addJob({ ...report, priority: 2 });

  expect(await queue.cancelAllUpcomingJobs({ job_type: 'send_email', priority: 2 })).toBe(2);
  expect(await queue.cancelAllUpcomingJobs({ run_at: at })).toBe(0);
  expect(await post('cancel-all')).toEqual({ status: 200, body: { message: 'Cancelled 2 jobs' } });
  expect(await jobs.statuses()).toEqual({ cancelled: 4 });
});

test('section 10: jobs are found over a pool of the application', async () => {
  const { pool } = jobs.database;
  const id = await addEmail('found');
  const job = await queue.getJob(pool, id);
  expect(job).toMatchObject({ id, status: 'pending', payload: { to: 'found' } });
  expect(await queue.getAllJobs(pool, 10, 0)).toEqual([job]);
  expect(await queue.getJobsByStatus(pool, 'pending', 10, 0)).toEqual([job]);
  expect(await queue.getJobsByStatus(pool, 'failed', 10, 0)).toEqual([]);
});
