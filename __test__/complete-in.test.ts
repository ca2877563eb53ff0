import { inspect } from 'node:util';
import type { PoolClient } from 'pg';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { currentJob, type JobQueueError, type ProcessorOptions } from '../index.js';
import { heldHandler, useJobs } from './helpers/jobs.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

beforeEach(async () => {
  await jobs.database.query('create table if not exists effects (job int)');
  await jobs.database.query('truncate effects');
});

const effects = async () =>
  (await jobs.database.query<{ job: number }>('select job from effects')).map(({ job }) => job);

/** Runs one job, whose handler does its work in a transaction. Resolves to its id and what was reported. */
async function runJob(
  handler: (client: PoolClient, id: number) => Promise<void>,
  options: ProcessorOptions = {},
) {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1);
  const errors: JobQueueError[] = [];
  const failures: unknown[] = [];
  const job = async () => {
    const client = await jobs.database.pool.connect();
    try {
      await client.query('begin');
      await client.query('insert into effects values ($1)', [id]);
      await handler(client, id);
    } finally {
      client.release();
    }
  };
  const onError = (error: JobQueueError) => void errors.push(error);
  const onJobFailed = (error: unknown) => void failures.push(error);
  await queue.createProcessor({ job }, { onError, onJobFailed, ...options }).start();
  return { id, errors, failures };
}

/** How many sessions have asked last how such a transaction has ended. */
async function asked(): Promise<number> {
  const [sessions] = await jobs.database.query<{ count: number }>(
    `select count(*)::int from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and query like '%rolled' || ' back%'
      and state = 'idle'`,
  );
  return sessions?.count ?? 0;
}

describe('a job that its handler completes in a transaction', () => {
  test('is completed by the commit, together with what the handler wrote', async () => {
    const seen: string[] = [];
    const { id, errors } = await runJob(async (client, job) => {
      await currentJob().completeIn(client);
      seen.push((await jobs.row(job)).status);
      await client.query('commit');
      seen.push((await jobs.row(job)).status);
    });
    expect(seen).toEqual(['processing', 'completed']);
    expect(await jobs.row(id)).toMatchObject({
      status: 'completed',
      attempts: 1,
      lease_expires_at: null,
      error_history: [],
    });
    expect(await effects()).toEqual([id]);
    expect(errors).toEqual([]);
  });

  test('is removed by the commit where completed jobs are', async () => {
    const { errors } = await runJob(
      async (client) => {
        await currentJob().completeIn(client);
        await client.query('commit');
      },
      { removeOnComplete: true },
    );
    expect(await jobs.rows()).toEqual([]);
    expect(await effects()).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  test('stays completed though the handler throws afterwards, which onError is told', async () => {
    const thrown = new Error('after the fact');
    const { id, errors, failures } = await runJob(async (client) => {
      await currentJob().completeIn(client);
      await client.query('commit');
      throw thrown;
    });
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', error_history: [] });
    const message =
      `the handler of job ${id} threw after the transaction that completed the job was committed; ` +
      'the job is completed and is not tried again';
    expect(errors).toEqual([expect.objectContaining({ code: 'INVALID_ARGUMENT', message })]);
    expect(errors[0]?.cause).toBe(thrown);
    expect(failures).toEqual([]);
  });

  test('stays completed though its time is up afterwards, which onError is told', async () => {
    const { id, errors, failures } = await runJob(
      async (client) => {
        await currentJob().completeIn(client);
        await client.query('commit');
        await new Promise((_, reject) => {
          const { signal } = currentJob();
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      },
      { defaultTimeout: 500 },
    );
    expect(await jobs.row(id)).toMatchObject({ status: 'completed', error_history: [] });
    expect(errors).toEqual([
      expect.objectContaining({
        message: expect.stringContaining('ran out of time after the transaction'),
        cause: expect.objectContaining({ code: 'TIMEOUT' }),
      }),
    ]);
    expect(failures).toEqual([]);
  });

  test.each([
    ['commit', { status: 'completed', error_history: [] }],
    [
      'rollback',
      {
        status: 'failed',
        attempts: 1,
        error_history: [expect.objectContaining({ name: 'Timeout' })],
      },
    ],
  ])('whose time is up before the %s is settled by that', async (end, row) => {
    const ended = deferred();
    const { id, errors } = await runJob(
      async (client) => {
        await currentJob().completeIn(client);
        const { signal } = currentJob();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await until(async () => (await asked()) > 0);
        await client.query(end);
        ended.resolve();
      },
      { defaultTimeout: 300, leaseDuration: 4_000 },
    );
    await ended.promise;
    expect(await jobs.row(id)).toMatchObject(row);
    expect(errors.filter(({ code }) => code !== 'INVALID_ARGUMENT')).toEqual([]);
  });

  test('is told without what is noted on the error, where there is no onError', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => printed.mockRestore());
    await runJob(
      async (client) => {
        await currentJob().completeIn(client);
        await client.query('commit');
        throw Object.assign(new Error('after the fact'), { params: ['4111 1111'] });
      },
      { onError: undefined },
    );
    const lines = printed.mock.calls.map(([line]) => inspect(line));
    expect(lines).toEqual([expect.stringContaining('Caused by: Error: after the fact')]);
    expect(lines.join()).not.toContain('4111');
  });

  test('goes on if that is rolled back, and ends as its handler does', async () => {
    const thrown = new Error('so be it');
    const { id, errors, failures } = await runJob(async (client) => {
      await currentJob().completeIn(client);
      await client.query('rollback');
      throw thrown;
    });
    expect(await jobs.row(id)).toMatchObject({
      status: 'failed',
      error_history: [expect.objectContaining({ message: 'so be it' })],
    });
    expect(await effects()).toEqual([]);
    expect(errors).toEqual([]);
    expect(failures).toEqual([thrown]);
  });

  test('is completed by its return after a rollback', async () => {
    const { id } = await runJob(async (client) => {
      await currentJob().completeIn(client);
      await client.query('rollback');
    });
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
    expect(await effects()).toEqual([]);
  });

  test('is reported if the handler returns while the transaction is open, and may be committed yet', async () => {
    let open: PoolClient | undefined;
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    const errors: JobQueueError[] = [];
    const job = async () => {
      open = await jobs.database.pool.connect();
      await open.query('begin');
      await currentJob().completeIn(open);
    };
    await queue
      .createProcessor({ job }, { leaseDuration: 1_000, onError: (error) => errors.push(error) })
      .start();
    expect(errors).toMatchObject([
      { code: 'INVALID_ARGUMENT', message: expect.stringContaining('is still open') },
    ]);
    expect(await jobs.row(id)).toMatchObject({ status: 'processing' });
    await open?.query('commit');
    open?.release();
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
  });

  // As when a client gives up a statement that the server still runs.
  test.each(['commit', 'rollback'])(
    'is settled by a %s that comes after its handler has thrown',
    async (end) => {
      let open: PoolClient | undefined;
      const queue = await jobs.openQueue();
      const [id = 0] = await jobs.insert(1);
      const errors: JobQueueError[] = [];
      const job = async () => {
        open = await jobs.database.pool.connect();
        await open.query('begin');
        await currentJob().completeIn(open);
        throw new Error('too early');
      };
      const processor = queue.createProcessor(
        { job },
        { leaseDuration: 10_000, onError: (error) => errors.push(error), onJobFailed: () => {} },
      );
      const ran = processor.start();
      await until(() => errors.length > 0);
      expect(errors[0]?.message).toContain('is still open');
      await open?.query(end);
      open?.release();
      await ran;
      expect(await jobs.row(id)).toMatchObject(
        end === 'commit'
          ? { status: 'completed', attempts: 1, error_history: [] }
          : {
              status: 'failed',
              attempts: 1,
              error_history: [expect.objectContaining({ message: 'too early' })],
            },
      );
    },
  );

  test('does not hold up the outcomes and leases of its neighbours while the transaction is open', async () => {
    const queue = await jobs.openQueue();
    const [inTransaction = 0, neighbour = 0, long = 0] = await jobs.insert(3);
    const held = heldHandler();
    const errors: JobQueueError[] = [];
    const job = async (n: number) => {
      if (n === 2) return;
      if (n === 3) return held.handler();
      const client = await jobs.database.pool.connect();
      await client.query('begin');
      await currentJob().completeIn(client);
      const leaseOf = async (id: number) => Number((await jobs.row(id)).lease_expires_at);
      const before = await leaseOf(long);
      await jobs.untilStatus(neighbour, 'completed');
      // The long one's lease is extended, though this one's cannot be.
      await until(async () => (await leaseOf(long)) > before);
      await client.query('commit');
      client.release();
      held.release();
    };
    await queue
      .createProcessor({ job }, { leaseDuration: 1_500, onError: (error) => errors.push(error) })
      .start();
    expect(await jobs.row(inTransaction)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await jobs.row(long)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(errors).toEqual([]);
  });

  test('cannot be completed by a run that lost it, whose writes roll back', async () => {
    const thrown: unknown[] = [];
    const { id, errors } = await runJob(async (client, job) => {
      await jobs.update('run_no = run_no + 1', job);
      try {
        await currentJob().completeIn(client);
        await client.query('commit');
      } catch (error) {
        thrown.push(error);
        await client.query('rollback');
        throw error;
      }
    });
    expect(thrown).toEqual([expect.objectContaining({ code: 'LEASE_LOST' })]);
    expect(await jobs.row(id)).toMatchObject({ status: 'processing' });
    expect(await effects()).toEqual([]);
    expect(errors).toEqual([expect.objectContaining({ code: 'LEASE_LOST' })]);
  });

  test('needs a client to be completed in', async () => {
    const thrown: unknown[] = [];
    await runJob(async (client) => {
      for (const nothing of [undefined, null, {}, 'client']) {
        await currentJob()
          .completeIn(nothing as never)
          .catch((error: unknown) => thrown.push(error));
      }
      await client.query('rollback');
    });
    expect(thrown).toHaveLength(4);
    expect(thrown[0]).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('completeIn: the client must be a database client'),
    });
  });
});
