/** Jobs that other transactions have changed or locked: a claim waits for none of them, and loses none. */
import type { PoolClient } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ProcessorOptions } from '../index.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** Begins a transaction on a connection of its own. */
async function transaction(...statements: string[]): Promise<PoolClient> {
  const client = await jobs.database.pool.connect();
  onTestFinished(() => client.release());
  for (const statement of ['begin', ...statements]) await client.query(statement);
  return client;
}

/** The claims differ by how many types of jobs they take. */
const claims: [string, ProcessorOptions][] = [
  ['of all types', {}],
  ['of one type', { jobType: 'job' }],
  ['of two types', { jobType: ['job', 'other'] }],
];

describe.each(claims)('a claim %s', (_, options) => {
  /** Runs what there is to claim, and returns the payloads. */
  async function run(): Promise<unknown[]> {
    const queue = await jobs.openQueue();
    const ran: unknown[] = [];
    const note = async (payload: unknown) => void ran.push(payload);
    await queue.createProcessor({ job: note, other: note }, options).start();
    return ran;
  }

  const lock = 'select from job_queue where payload = to_jsonb(1)';
  test.each([
    ['locked', `${lock} for update`],
    ['locked in a savepoint', `savepoint a; ${lock} for update; release a`],
    ['changed', 'update job_queue set priority = 1 where payload = to_jsonb(1)'],
  ])('passes over a job that is %s, until the transaction has ended', async (_, statement) => {
    await jobs.insert(2);
    const other = await transaction(statement);
    expect(await run()).toEqual([2]);
    await other.query('rollback');
    expect(await run()).toEqual([1]);
  });

  test('takes a job that an open transaction refers to', async () => {
    await jobs.insert(2);
    const other = await transaction(`${lock} for key share`);
    expect(await run()).toEqual([1, 2]);
    await other.query('rollback');
  });

  test('takes what was locked and is no longer, by one or by several', async () => {
    await jobs.insert(3);
    const share = 'select from job_queue where payload > to_jsonb(1) for share';
    const one = await transaction(`${lock} for update`, share);
    const two = await transaction(share);
    await one.query('commit');
    await two.query('commit');
    expect(await run()).toEqual([1, 2, 3]);
  });
});
