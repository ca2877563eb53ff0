import { describe, expect, test } from 'vitest';
import { JobQueueError, type ProcessorOptions } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** Has a worker run a held job; what it tells onError are notes. */
async function runHeldJob(columns: Record<string, string> = {}, options: ProcessorOptions = {}) {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1, columns);
  const errors = new Journal<JobQueueError>();
  const held = heldHandler();
  const processor = queue.createProcessor(
    { job: held.handler },
    { workerId: 'first', onError: (error) => errors.note(error), ...options },
  );
  const ran = processor.start();
  const context = await held.started;
  /** Lets the handler end, and waits until its outcome was written or refused. */
  const end = async (failure?: Error) => {
    if (failure) held.fail(failure);
    else held.release();
    await ran;
  };
  return { id, context, errors: errors.notes, end };
}

/** Has another worker look for jobs once; resolves to how many it ran. */
async function runOthers(handler = async () => {}, options: ProcessorOptions = {}) {
  const queue = await jobs.openQueue();
  const told = { workerId: 'second', onError: () => {}, ...options };
  return queue.createProcessor({ job: handler }, told).start();
}

const refused = [expect.objectContaining({ name: 'JobQueueError', code: 'LEASE_LOST' })];

test("a job that runs is its worker's for half a minute", async () => {
  const { id, end } = await runHeldJob();
  const { lease_left, ...row } = await jobs.row(id);
  expect(row).toMatchObject({ status: 'processing', locked_by: 'first', attempts: 1 });
  expect(lease_left).toBeGreaterThan(20);
  expect(lease_left).toBeLessThanOrEqual(30);
  expect(await runOthers()).toBe(0);
  await end();
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', lease_expires_at: null });
});

describe('a job whose lease has ended', () => {
  test('is taken over, without a call of reclaimStuckJobs', async () => {
    const { id, end } = await runHeldJob();
    await jobs.endLeases(id);

    expect(await runOthers()).toBe(1);

    expect(await jobs.row(id)).toMatchObject({
      status: 'completed',
      attempts: 2,
      locked_by: 'second',
      error_history: [
        {
          name: 'WorkerLost',
          message: expect.stringMatching(/first.*1 of 3/),
          attempt: 1,
          timestamp: expect.any(String),
        },
      ],
    });
    await end();
  });

  test('is left as it then is by the first worker', async () => {
    const { id, errors, end } = await runHeldJob();
    await jobs.endLeases(id);
    await runOthers();
    const before = await jobs.row(id);

    await end(new Error('too late'));

    expect(await jobs.row(id)).toEqual(before);
    expect(errors).toEqual(refused);
    expect(errors[0]).toBeInstanceOf(JobQueueError);
  });

  test('is left alone by the first worker also while the second still runs it', async () => {
    const { id, errors, end } = await runHeldJob();
    await jobs.endLeases(id);
    const second = heldHandler();
    const ran = runOthers(second.handler);
    expect(await second.started).toMatchObject({ id, attempts: 2 });

    await end();

    expect(errors).toEqual(refused);
    expect(await jobs.row(id)).toMatchObject({ status: 'processing', locked_by: 'second' });
    second.release();
    await ran;
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 2 });
  });

  test('is settled by the first worker if none has taken it meanwhile', async () => {
    const { id, errors, end } = await runHeldJob();
    await jobs.endLeases(id);
    await end();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(errors).toEqual([]);
  });

  test('fails where it has no attempts left, and can be retried', async () => {
    const { id, errors, end } = await runHeldJob({ max_attempts: '1' });
    await jobs.endLeases(id);

    expect(await runOthers()).toBe(0);

    expect(await jobs.row(id)).toMatchObject({
      status: 'failed',
      attempts: 1,
      next_attempt_at: null,
      lease_expires_at: null,
      error_history: [{ name: 'WorkerLost', message: expect.stringMatching(/first.*1 of 1/) }],
    });
    await end();
    expect(errors).toEqual(refused);
    expect(await jobs.row(id)).toMatchObject({ status: 'failed' });

    await (await jobs.openQueue()).retryJob(id);
    expect(await runOthers()).toBe(1);
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 2 });
  });

  test('is due again, behind what was due before', async () => {
    const { id, end } = await runHeldJob();
    await jobs.insert(1, { payload: `'"older"'`, run_at: "now() - interval '5 minutes'" });
    await jobs.insert(1, { payload: `'"newer"'`, run_at: "now() - interval '30 seconds'" });
    await jobs.endLeases(id);
    const order: unknown[] = [];
    const note = async (payload?: unknown) => void order.push(payload);
    await runOthers(note, { concurrency: 1 });
    expect(order).toEqual(['older', 'newer', 1]);
    await end();
  });
});

describe('what a user changes by SQL while the job runs', () => {
  test.each([
    ['cancelled', "status = 'cancelled'", 'cancelled'],
    ['completed', "status = 'completed'", 'completed'],
    ['pending', "status = 'pending'", 'pending'],
    ['pending, for later', "status = 'pending', run_at = now() + interval '1 hour'", 'pending'],
    ['failed', "status = 'failed', next_attempt_at = null", 'failed'],
  ])('stands, and the outcome is refused: %s', async (_, assignments, status) => {
    const { id, errors, end } = await runHeldJob();
    await jobs.update(assignments, id);
    const { lease_left: _left, ...before } = await jobs.row(id);

    await end(new Error('from the handler'));

    expect(await jobs.row(id)).toMatchObject({ ...before, status });
    expect(errors).toEqual(refused);
  });

  test.each([
    ['its priority', { priority: 9 }],
    ['its payload', { payload: { other: true } }],
    ['its type', { job_type: 'renamed' }],
    ['how often it may be tried', { max_attempts: 7 }],
    ['who is said to run it', { locked_by: 'somebody' }],
  ])('stands, and the outcome is accepted: %s', async (_, change) => {
    const { id, errors, end } = await runHeldJob();
    const assignments = Object.entries(change).map(([column, value]) =>
      column === 'payload' ? `payload = '${JSON.stringify(value)}'` : `${column} = '${value}'`,
    );
    await jobs.update(assignments.join(), id);

    await end();

    expect(await jobs.row(id)).toMatchObject({ ...change, status: 'completed' });
    expect(errors).toEqual([]);
  });

  test('is no harm, if it deletes the job', async () => {
    const { id, errors, end } = await runHeldJob();
    const neighbour = await runHeldJob();
    await jobs.database.query('delete from job_queue where id = $1', [id]);
    await end();
    expect(errors).toEqual(refused);
    await neighbour.end();
    expect(await jobs.row(neighbour.id)).toMatchObject({ status: 'completed' });
  });

  test('makes it run again, if it puts it back: the first run no longer counts', async () => {
    const { id, errors, end } = await runHeldJob();
    await jobs.update("status = 'pending'", id);
    const second = heldHandler();
    const ran = runOthers(second.handler);
    await second.started;
    await end();
    expect(errors).toEqual(refused);
    second.release();
    await ran;
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', locked_by: 'second' });
  });
});

describe('rows that something other than this package wrote', () => {
  test('pending without attempts left: fails with an entry, and can be retried', async () => {
    const [id = 0] = await jobs.insert(1, { attempts: '3' });
    const [neighbour = 0] = await jobs.insert(1);
    const errors: JobQueueError[] = [];

    expect(await runOthers(undefined, { onError: (error) => errors.push(error) })).toBe(1);

    expect(await jobs.row(id)).toMatchObject({
      status: 'failed',
      attempts: 3,
      next_attempt_at: null,
      error_history: [{ message: expect.stringMatching(/3 of 3.*retryJob/) }],
    });
    expect(await jobs.row(neighbour)).toMatchObject({ status: 'completed' });
    expect(errors.map(({ code, message }) => [code, message])).toEqual([
      ['LEASE_LOST', expect.stringContaining(`job ${id} `)],
    ]);

    await (await jobs.openQueue()).retryJob(id);
    expect(await runOthers()).toBe(1);
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 4, max_attempts: 4 });
  });

  const claimedBefore: Record<string, (id: number) => Promise<void>> = {
    'for the first time': async () => {},
    'after a run of ours failed': async (id) => {
      const fail = async () => {
        throw new Error('ours');
      };
      await runOthers(fail);
      await jobs.update("status = 'pending', next_attempt_at = null", id);
    },
    'after a run of ours was lost': async (id) => {
      const { handler, started, release } = heldHandler();
      const ran = runOthers(handler);
      await started;
      await jobs.endLeases(id);
      await jobs.update("status = 'pending'", id);
      release();
      await ran;
    },
  };

  test.each(Object.keys(claimedBefore))(
    'claimed without a lease, %s: waits for reclaimStuckJobs',
    async (when) => {
      const [id = 0] = await jobs.insert(1);
      await claimedBefore[when]?.(id);
      await jobs.update(
        `status = 'processing', locked_at = now(), locked_by = 'original',
      attempts = attempts + 1, updated_at = now()`,
        id,
      );
      expect(await runOthers()).toBe(0);
      const queue = await jobs.openQueue();
      expect(await queue.reclaimStuckJobs(10)).toBe(0);

      const past = (column: string) => `${column} = ${column} - interval '11 minutes'`;
      await jobs.update(`${past('locked_at')}, ${past('lease_expires_at')}`, id);
      expect(await runOthers()).toBe(0);
      expect(await queue.reclaimStuckJobs(10)).toBe(1);
      expect(await runOthers()).toBe(1);
      expect((await jobs.row(id)).status).toBe('completed');
    },
  );
});
