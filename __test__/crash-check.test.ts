import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { auditTables } from './crash/audit.js';
import { check } from './crash/check.js';
import { useDatabase } from './helpers/database.js';

const database = useDatabase();
let pool: Pool;

/** As a worker of the crash test does it: by the name of its connection. */
const by = (name: string, text: string) =>
  pool.query(`set application_name = '${name}'; ${text}; set application_name = 'runner'`);
const add = (id: number, type: string, key = `key-${id}`) => `
  insert into job_queue (id, job_type, payload) values (${id}, '${type}', '{"key": "${key}"}')`;
const told = (id: number) => `insert into told values ('key-${id}', ${id})`;
const claim = (id: number, worker: string) => `
  update job_queue
  set status = 'processing', run_no = run_no + 1, attempts = attempts + 1, locked_by = '${worker}',
    locked_at = now(), lease_expires_at = now() + interval '1 second'
  where id = ${id}`;
const effect = (id: number, worker: string, what: string, attempt = 1) => `
  insert into effect (job_id, worker, attempt, what)
  values (${id}, '${worker}', ${attempt}, '${what}')`;
const settle = (id: number, status = 'completed') => `
  update job_queue set status = '${status}', lease_expires_at = null where id = ${id}`;
const fail = (id: number, message: string) => `
  update job_queue
  set status = 'failed', attempts = max_attempts, lease_expires_at = null,
    error_history = error_history || jsonb_build_object('message', '${message}')
  where id = ${id}`;

beforeAll(async () => {
  // One connection, so that its name can be changed from statement to statement.
  pool = new Pool({ connectionString: database.url, max: 1 });
  await pool.query(auditTables);
});
afterAll(() => pool.end());

/** Job 1 has been run by worker-1, and job 2 completed by it in a transaction. */
beforeEach(async () => {
  await pool.query('truncate job_queue, audit, effect, told');
  await pool.query([add(1, 'quick'), told(1), add(2, 'transaction'), told(2)].join(';'));
  await by('worker-1', claim(1, 'worker-1'));
  await by('worker-1', effect(1, 'worker-1', 'ended'));
  await by('worker-1', settle(1));
  await by('worker-1', claim(2, 'worker-1'));
  await by('worker-1', `begin; ${effect(2, 'worker-1', 'committed')}; ${settle(2)}; commit`);
});

/** Has worker-1 run a job 3. */
async function runThird(): Promise<void> {
  await pool.query([add(3, 'quick'), told(3)].join(';'));
  await by('worker-1', claim(3, 'worker-1'));
  await by('worker-1', effect(3, 'worker-1', 'begun'));
}

test('the checker finds nothing where everything is as it has to be', async () => {
  await runThird();
  await by('worker-1', fail(3, 'by worker-1 in attempt 1: as asked'));
  expect(await check(pool)).toEqual([]);
});

describe('the checker finds', () => {
  const broken: [string, () => Promise<unknown>][] = [
    [
      'what addJob resolved with is in the table',
      () => pool.query(`insert into told values ('lost', 9)`),
    ],
    ['no job is there twice', () => pool.query(add(9, 'quick', 'key-1'))],
    ['no job is there that nobody added', () => pool.query(add(9, 'quick'))],
    ['no job is in limbo', runThird],
    ['no job is deleted', () => by('worker-1', 'delete from job_queue where id = 1')],
    [
      'the audit has seen all',
      () => pool.query('delete from audit where seq = (select min(seq) from audit)'),
    ],
    [
      'each job has ended once, and once more for each retry after its end',
      () => pool.query(`delete from audit where job_id = 1 and status = 'completed'`),
    ],
    ['what is over changes by a retry alone', () => by('worker-2', claim(1, 'worker-2'))],
    [
      'a claim raises run_no and counts the attempt, for the worker that makes it',
      async () => {
        await pool.query(add(3, 'quick'));
        await by('worker-1', claim(3, 'worker-2'));
      },
    ],
    [
      'no job is taken from a run before its lease is over',
      async () => {
        await runThird();
        await by('worker-2', claim(3, 'worker-2'));
      },
    ],
    [
      'run_no changes by the claims of workers, and when a job is taken from a lost one',
      () => by('adder-1', 'update job_queue set run_no = run_no + 1 where id = 1'),
    ],
    [
      'a run is settled by the worker that owns it',
      async () => {
        await runThird();
        await by('worker-2', settle(3));
      },
    ],
    [
      'a failure that is written is that of the run that owns the job',
      async () => {
        await runThird();
        await by('worker-1', fail(3, 'by worker-1 in attempt 2: as asked'));
      },
    ],
    [
      'a run that is completed has had its effect',
      async () => {
        await runThird();
        await by('worker-1', settle(3));
      },
    ],
    [
      'a transaction that completes a job has one effect, and has it only if the job is completed',
      () => pool.query(effect(1, 'worker-1', 'committed')),
    ],
    [
      'the effect of a job that is completed in its transaction is there exactly once',
      () => pool.query(effect(2, 'worker-2', 'committed')),
    ],
    [
      'no more attempts are made than are granted',
      async () => {
        await runThird();
        await by('worker-1', 'update job_queue set max_attempts = 0 where id = 3');
        await by('worker-1', settle(3, 'failed'));
      },
    ],
    [
      'each claim runs its handler once at the most',
      async () => {
        await runThird();
        await pool.query(effect(3, 'worker-1', 'begun'));
      },
    ],
  ];

  test.each(broken)('%s', async (promise, breakIt) => {
    await breakIt();
    const violated = (await check(pool)).map((violation) => violation.promise);
    expect(violated).toContain(promise);
  });
});
