/** Jobs that are added when another has failed for good: `dead_letter_job_type`. */
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  currentJob,
  type DeadLetter,
  type JobQueue,
  type JobQueueError,
  type ProcessorOptions,
  Unrecoverable,
} from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { rejection } from './helpers/queue.js';

const jobs = useJobs();

const letters = () => jobs.rows(`job_type = 'buried'`);

const buried = { dead_letter_job_type: "'buried'" };

const throwing = async () => {
  throw new Error('no such address');
};

/** Runs batches of the type `job` until one finds nothing; gives what `onError` was told. */
async function runAll(
  job: () => Promise<void> = throwing,
  options: ProcessorOptions = {},
): Promise<JobQueueError[]> {
  const queue = await jobs.openQueue();
  const told: JobQueueError[] = [];
  const processor = queue.createProcessor(
    { job },
    {
      jobType: 'job',
      onError: (error) => void told.push(error),
      onJobFailed: () => {},
      retry: { delay: 0 },
      ...options,
    },
  );
  while ((await processor.start()) > 0) {}
  return told;
}

describe('a job that fails for good', () => {
  test('leaves one that says what it was, and why it failed, with its priority', async () => {
    const [id] = await jobs.insert(1, { ...buried, max_attempts: '2', priority: '7' });
    await runAll();
    const job = await jobs.row(id as number);
    expect(job).toMatchObject({ status: 'failed', attempts: 2, failure_reason: 'error' });
    const [letter, ...more] = await letters();
    expect(more).toEqual([]);
    expect(letter).toMatchObject({
      status: 'pending',
      attempts: 0,
      max_attempts: 3,
      priority: 7,
      dead_letter_job_type: null,
      // By the statement that failed the job.
      created_at: job.updated_at,
      payload: {
        originalJob: { id, jobType: 'job', attempts: 2, maxAttempts: 2 },
        originalPayload: 1,
        failure: {
          message: 'no such address',
          reason: 'error',
          failedAt: job.error_history.at(-1)?.timestamp,
        },
      },
    });
  });

  test('leaves none while attempts are left', async () => {
    await jobs.insert(1, buried);
    await runAll(throwing, { retry: { delay: 60_000 } });
    expect(await letters()).toEqual([]);
  });

  test.each<[string, () => Promise<void>, Partial<Record<string, string>>, string]>([
    ['by Unrecoverable', () => Promise.reject(new Unrecoverable('gone')), {}, 'error'],
    [
      'by its time',
      () => new Promise<void>(() => {}),
      { timeout_ms: '20', max_attempts: '1' },
      'timeout',
    ],
    ['by hand, without attempts', async () => {}, { attempts: '3' }, 'null'],
  ])('leaves one that failed %s', async (_, handler, columns, reason) => {
    const [id = 0] = await jobs.insert(1, { ...buried, ...(columns as Record<string, string>) });
    await runAll(handler);
    expect(await jobs.row(id)).toMatchObject({ status: 'failed' });
    const payloads = (await letters()).map(({ payload }) => payload as DeadLetter);
    expect(payloads.map(({ failure }) => String(failure.reason))).toEqual([reason]);
  });

  test.each(['recovery', 'reclaimStuckJobs'])(
    'leaves one when its worker is lost in its last attempt, by %s',
    async (how) => {
      const [id = 0] = await jobs.insert(1, {
        ...buried,
        status: "'processing'",
        attempts: '3',
        locked_at: "now() - interval '2 hours'",
        ...(how === 'recovery' ? { lease_expires_at: "now() - interval '1 hour'" } : {}),
      });
      if (how === 'reclaimStuckJobs')
        expect(await (await jobs.openQueue()).reclaimStuckJobs()).toBe(1);
      await runAll();
      expect(await jobs.row(id)).toMatchObject({
        status: 'failed',
        attempts: 3,
        failure_reason: 'worker_lost',
        error_history: [{ name: 'WorkerLost' }],
      });
      const [letter, ...more] = await letters();
      expect(more).toEqual([]);
      expect(letter?.payload).toMatchObject({
        failure: { reason: 'worker_lost', message: expect.stringMatching(/^Worker lost: /) },
      });
    },
  );

  test('leaves another each time that it is retried and fails', async () => {
    const [id = 0] = await jobs.insert(1, { ...buried, max_attempts: '1' });
    await runAll();
    await (await jobs.openQueue()).retryJob(id);
    await runAll();
    expect(await letters()).toHaveLength(2);
  });

  test('leaves one in each batch of many', async () => {
    await jobs.insert(300, { ...buried, max_attempts: '1' });
    await jobs.insert(300);
    let run = 0;
    await runAll(
      async () => {
        if (run++ % 2 === 0) throw new Error('no');
      },
      { batchSize: 100, concurrency: 50, retry: { delay: 60_000 } },
    );
    const [failed] = await jobs.database.query<{ count: number }>(
      `select count(*)::int from job_queue
      where status = 'failed' and attempts = max_attempts and dead_letter_job_type is not null`,
    );
    expect(failed?.count).toBeGreaterThan(0);
    expect(await letters()).toHaveLength(failed?.count as number);
  });
});

test('a job leaves one whose handler throws after the transaction that completed it was rolled back', async () => {
  const [id = 0] = await jobs.insert(1, { ...buried, max_attempts: '1' });
  await runAll(async () => {
    const client = await jobs.database.pool.connect();
    try {
      await client.query('begin');
      await currentJob().completeIn(client);
      await client.query('rollback');
    } finally {
      client.release();
    }
    throw new Error('rolled back');
  });
  expect(await jobs.row(id)).toMatchObject({ status: 'failed', failure_reason: 'error' });
  expect(await letters()).toHaveLength(1);
});

test('a job that is cancelled leaves none', async () => {
  const [id = 0] = await jobs.insert(1, { ...buried, max_attempts: '1' });
  const queue = await jobs.openQueue();
  const job = async () => {
    await queue.cancelJob(currentJob().id);
    throw new Error('no');
  };
  await queue.createProcessor({ job }, { onJobFailed: () => {} }).start();
  expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
  expect(await letters()).toEqual([]);
});

test('it is run by the worker that failed the job, at once', async () => {
  await jobs.insert(1, { ...buried, max_attempts: '1' });
  const queue = await jobs.openQueue();
  const ran = new Journal<DeadLetter>();
  const handlers = { job: throwing, buried: async (letter: DeadLetter) => ran.note(letter) };
  const options = { pollInterval: 60_000, onJobFailed: () => {} };
  const processor = queue.createProcessor(handlers, options);
  processor.startInBackground();
  await ran.reaches(1);
  await processor.stopAndDrain();
  expect(ran.notes).toMatchObject([{ originalPayload: 1, failure: { reason: 'error' } }]);
});

describe('dead_letter_job_type', () => {
  const add: Record<string, (queue: JobQueue, job: Job) => Promise<unknown>> = {
    addJob: (queue, job) => queue.addJob(job),
    'addJob on a client': (queue, job) => queue.addJob(job, { db: queue.getPool() }),
    addJobs: (queue, job) => queue.addJobs([{ ...job, dead_letter_job_type: null }, job]),
    'addJobs of many': (queue, job) =>
      queue.addJobs(Array.from({ length: 1_500 }, (_, n) => (n === 700 ? job : plain))),
    add_job: (_, { job_type, dead_letter_job_type }) =>
      jobs.database.query(`select add_job($1, '1', dead_letter_job_type => $2)`, [
        job_type,
        dead_letter_job_type,
      ]),
  };
  const plain = { job_type: 'job', payload: 1 };
  type Job = typeof plain & { dead_letter_job_type: string };
  const name = 'é'.repeat(255);

  test.each(Object.keys(add))('is kept by %s', async (way) => {
    const queue = await jobs.openQueue();
    await add[way]?.(queue, { ...plain, dead_letter_job_type: name });
    const kept = await jobs.rows('dead_letter_job_type is not null');
    expect(kept.map((row) => row.dead_letter_job_type)).toEqual([name]);
    expect(await queue.getJob(kept[0]?.id as number)).toMatchObject({ dead_letter_job_type: name });
  });

  test.each([[''], ['a'.repeat(256)], [7], ['\0']])('refuses %j', async (wrong) => {
    const queue = await jobs.openQueue();
    const job = { ...plain, dead_letter_job_type: wrong as string };
    await rejection(queue.addJob(job), 'INVALID_ARGUMENT', /dead_letter_job_type/);
    if (typeof wrong !== 'string' || wrong === '\0') return;
    const refused = jobs.database.query(`select add_job('job', '1', dead_letter_job_type => $1)`, [
      wrong,
    ]);
    await expect(refused).rejects.toMatchObject({ code: '22023' });
  });
});

describe('a dead letter that Postgres refuses', () => {
  /** Has a trigger do this before a dead letter is added. */
  async function beforeLetter(statement: string): Promise<void> {
    await jobs.database.query(`
      create function before_letter() returns trigger language plpgsql as $$
      begin if new.job_type = 'buried' then ${statement}; end if; return new; end $$;
      create trigger before_letter before insert on job_queue for each row execute function before_letter()`);
    onTestFinished(async () => {
      await jobs.database.query('drop function before_letter cascade');
    });
  }

  test.each([
    ['is slow', 'perform pg_sleep(60)'],
    ['fails for what may pass', `raise 'the other server is away' using errcode = '08006'`],
    ['is discarded', 'return null'],
  ])('is told, and its job has failed: it %s', async (_, statement) => {
    await beforeLetter(statement);
    await jobs.insert(2, { ...buried, max_attempts: '1' });
    await jobs.insert(5, { max_attempts: '1', payload: `'"good"'` });
    const began = performance.now();
    const told = await runAll(throwing, { leaseDuration: 6_000 });
    expect(performance.now() - began).toBeLessThan(6_000);
    expect(await jobs.statuses()).toEqual({ failed: 7 });
    expect(told.map(({ message }) => message).join()).toMatch(
      /jobs \d+ and \d+ be given a dead letter/,
    );
  });

  afterEach(() =>
    jobs.database.query('alter table job_queue drop constraint if exists no_letters'),
  );

  test('holds up no job: they have failed without one, and that is told', async () => {
    await jobs.database.query(
      `alter table job_queue add constraint no_letters check (job_type <> 'buried') not valid`,
    );
    const ids = await jobs.insert(5, { ...buried, max_attempts: '1' });
    await jobs.insert(5, { max_attempts: '1', dead_letter_job_type: "'other'" });
    const told = await runAll(throwing, { batchSize: 100, concurrency: 100 });
    expect(await jobs.statuses()).toEqual({ failed: 10, pending: 5 });
    expect(await jobs.rows(`job_type = 'other'`)).toHaveLength(5);
    for (const id of ids) {
      expect(await jobs.row(id)).toMatchObject({ attempts: 1, failure_reason: 'error' });
    }
    expect(told.map((error) => error.code)).toEqual(['DATABASE_ERROR']);
    expect(told[0]?.message).toMatch(
      /refuses to let jobs .* be given a dead letter \(failed without one\)/,
    );
    expect(told[0]?.sqlState).toBe('23514');
  });
});

test('jobs without one prepare no insert: triggers for statements are not called', async () => {
  await jobs.database.query(`
    create table inserts (at timestamptz default now());
    create function note_insert() returns trigger language plpgsql as $$
    begin insert into inserts default values; return null; end $$;
    create trigger note_insert after insert on job_queue for each statement execute function note_insert()`);
  try {
    await jobs.insert(20, { max_attempts: '2' });
    await jobs.database.query('truncate inserts');
    await runAll();
    expect(await jobs.statuses()).toEqual({ failed: 20 });
    expect(await jobs.database.query('select from inserts')).toEqual([]);
  } finally {
    await jobs.database.query('drop function note_insert cascade; drop table inserts');
  }
});
