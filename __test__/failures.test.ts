import { describe, expect, test } from 'vitest';
import type { JobErrorEntry } from '../index.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** Runs one job with a handler that throws this, and gives its row. */
async function failWith(thrown: unknown, columns: Record<string, string> = {}) {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1, columns);
  const job = async () => {
    throw thrown;
  };
  expect(await queue.createProcessor({ job }).start()).toBe(1);
  return jobs.row(id);
}

const minutesFromFailureToRetry = async (id: number) => {
  const [row] = await jobs.database.query<{ minutes: number | null }>(
    `select extract(epoch from next_attempt_at - updated_at)::float8 / 60 as minutes
    from job_queue where id = $1`,
    [id],
  );
  return row?.minutes;
};

describe('a failed attempt', () => {
  test('is told in error_history', async () => {
    class PaymentRefused extends Error {}
    const error = new PaymentRefused('card expired');

    const { status, attempts, error_history } = await failWith(error);

    expect({ status, attempts }).toEqual({ status: 'failed', attempts: 1 });
    expect(error_history).toEqual([
      {
        message: 'card expired',
        name: 'PaymentRefused',
        stack: error.stack,
        attempt: 1,
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    ]);
  });

  test('has the time of the database, in UTC', async () => {
    await jobs.database.query(`alter database ${jobs.database.name} set timezone to 'Asia/Tokyo'`);
    const { error_history, updated_at } = await failWith(new Error('x'));
    expect(new Date(error_history[0]?.timestamp ?? '')).toEqual(updated_at);
    const [clock] = await jobs.database.query<{ now: Date }>('select now()');
    expect(Math.abs(Number(clock?.now) - Number(updated_at))).toBeLessThan(10_000);
  });

  test('is followed by the next after 2, 4 and 8 minutes, until none is left', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob({ job_type: 'job', payload: null, max_attempts: 4 });
    let runs = 0;
    const job = async () => {
      throw new Error(`failure ${++runs}`);
    };
    const processor = queue.createProcessor({ job });

    for (const minutes of [2, 4, 8]) {
      expect(await processor.start()).toBe(1);
      expect(await minutesFromFailureToRetry(id)).toBeCloseTo(minutes, 2);
      expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: Math.log2(minutes) });
      expect(await processor.start()).toBe(0);
      await jobs.update("next_attempt_at = now() - interval '1 second'", id);
    }
    expect(await processor.start()).toBe(1);

    expect(await jobs.row(id)).toMatchObject({
      status: 'failed',
      attempts: 4,
      next_attempt_at: null,
    });
    const history = (await queue.getJob(id))?.error_history;
    expect(history?.map(({ message, attempt }: JobErrorEntry) => [message, attempt])).toEqual([
      ['failure 1', 1],
      ['failure 2', 2],
      ['failure 3', 3],
      ['failure 4', 4],
    ]);
    expect(await processor.start()).toBe(0);
  });

  test('is the last one where only one is allowed', async () => {
    expect(await failWith(new Error('x'), { max_attempts: '1' })).toMatchObject({
      status: 'failed',
      next_attempt_at: null,
    });
  });

  test('is no obstacle to the next, which completes the job and keeps the history', async () => {
    const { id } = await failWith(new Error('at first'));
    const queue = await jobs.openQueue();
    await jobs.update('next_attempt_at = now()', id);

    await queue.createProcessor({ job: async () => {} }).start();

    expect(await queue.getJob(id)).toMatchObject({
      status: 'completed',
      attempts: 2,
      next_attempt_at: null,
      error_history: [{ message: 'at first' }],
    });
  });

  test('far down a long row of attempts still has a next one that Postgres can store', async () => {
    const row = await failWith(new Error('x'), { attempts: '1000', max_attempts: '2000' });
    expect(row).toMatchObject({ status: 'failed', attempts: 1001 });
    expect(row.next_attempt_at).toBeInstanceOf(Date);
  });

  test('pushes the oldest out of a history of a hundred', async () => {
    const hundred = `(select jsonb_agg(jsonb_build_object('message', at, 'timestamp', ''))
      from generate_series(1, 100) at)`;
    const { error_history } = await failWith(new Error('new'), { error_history: hundred });
    const messages = error_history.map((entry) => entry.message);
    expect(messages).toHaveLength(100);
    expect([messages[0], messages[98], messages[99]]).toEqual([2, 100, 'new']);
  });

  test.each([
    ['null', 'null::jsonb'],
    ['JSON null', "'null'::jsonb"],
    ['an object', `'{"message": "x"}'::jsonb`],
  ])('begins a history that is no list, but %s, anew', async (_, history) => {
    const { error_history } = await failWith(new Error('new'), { error_history: history });
    expect(error_history).toMatchObject([{ message: 'new' }]);
  });
});
