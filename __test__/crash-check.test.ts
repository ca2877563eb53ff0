import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { auditTables } from './crash/audit.js';
import { check } from './crash/check.js';
import {
  add,
  addKeyed,
  begun,
  bury,
  claim,
  claimLast,
  count,
  effect,
  endLease,
  fail,
  fault,
  recover,
  settle,
  told,
} from './crash/entries.js';
import { LONGEST_INNOCENT_WAIT } from './crash/innocents.js';
import { useDatabase } from './helpers/database.js';

const database = useDatabase();
let pool: Pool;

/** As a worker of the crash test does it: by the name of its connection. */
const by = (name: string, text: string) =>
  pool.query(`set application_name = '${name}'; ${text}; set application_name = 'runner'`);
beforeAll(async () => {
  // One connection, so that its name can be changed from statement to statement.
  pool = new Pool({ connectionString: database.url, max: 1 });
  await pool.query(auditTables);
});
afterAll(() => pool.end());

/** Job 1 has been run by worker-1, and job 2 completed by it in a transaction. */
beforeEach(async () => {
  await pool.query(
    'truncate job_queue, audit, letter, ledger, effect, begun, told, asked, fault, touched',
  );
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
  await pool.query(begun(3, 'worker-1'));
}

/** Has worker-1 run a job and complete it. */
async function runAndComplete(id: number): Promise<void> {
  await by('worker-1', claim(id, 'worker-1'));
  await by('worker-1', effect(id, 'worker-1', 'ended'));
  await by('worker-1', settle(id));
}

async function addWithAttempts(id: number, attempts: number): Promise<void> {
  await pool.query([add(id, 'quick'), told(id)].join(';'));
  await pool.query(`update job_queue set max_attempts = ${attempts} where id = ${id}`);
}

/** Has worker-1 claim a job and lose it, and worker-2 find that. */
async function lose(id: number, status: string, ...meanwhile: string[]): Promise<void> {
  await by('worker-1', claim(id, 'worker-1'));
  for (const statement of meanwhile) await pool.query(statement);
  await pool.query(endLease(id));
  await by('worker-2', recover(id, status));
}

/** Has job 5 wait for a minute, for which these are reasons. */
async function waitForAMinute(...reasons: string[]): Promise<void> {
  await pool.query([add(5, 'quick'), told(5)].join(';'));
  for (const statement of reasons) await pool.query(statement);
  await by('worker-1', claim(5, 'worker-1'));
  await pool.query(begun(5, 'worker-1', 1, 60));
  await by('worker-1', effect(5, 'worker-1', 'ended'));
  await by('worker-1', settle(5));
}

test('the checker finds nothing where everything is as it has to be', async () => {
  await runThird();
  await by('worker-1', fail(3, 'by worker-1 in attempt 1: as asked'));
  expect(await check(pool)).toEqual([]);
});

describe('the checker passes over', () => {
  const right: [string, () => Promise<unknown>][] = [
    [
      'a last attempt that is counted when its handler begins',
      async () => {
        await addWithAttempts(4, 1);
        await by('worker-1', claimLast(4, 'worker-1'));
        await by('worker-1', settle(4, 'pending'));
        await by('worker-1', claimLast(4, 'worker-1'));
        await by('worker-1', count(4));
        await by('worker-1', effect(4, 'worker-1', 'begun'));
        await by('worker-1', effect(4, 'worker-1', 'ended'));
        await by('worker-1', settle(4));
      },
    ],
    [
      'a key that is taken once its job has settled',
      async () => {
        await pool.query(addKeyed(3, 'unsettled-1'));
        await runAndComplete(3);
        await pool.query(addKeyed(4, 'unsettled-1'));
        await runAndComplete(4);
      },
    ],
    [
      'an attempt that is lost after it has begun',
      async () => {
        await addWithAttempts(4, 1);
        await lose(4, 'failed', begun(4, 'worker-1'), fault('freeze', 'worker', 'worker-1', 0, 1));
      },
    ],
    [
      'a last attempt that is lost with its worker just after it was counted',
      async () => {
        await addWithAttempts(4, 1);
        await by('worker-1', claimLast(4, 'worker-1'));
        await by('worker-1', count(4));
        await pool.query(fault('kill', 'worker', 'worker-1', 0, 0));
        await pool.query(endLease(4));
        await by('worker-2', recover(4, 'failed'));
      },
    ],
    [
      'an attempt that is lost with its worker, if another has begun',
      async () => {
        await addWithAttempts(4, 2);
        await pool.query(`insert into touched values (4, 'lockRows')`);
        await lose(4, 'pending', begun(4, 'worker-1'));
        await lose(4, 'failed', fault('kill', 'worker', 'worker-1', 0, 0));
      },
    ],
    [
      'a removed job that a removing worker has completed',
      async () => {
        await pool.query([add(3, 'quick'), told(3)].join(';'));
        await by('worker-0-removing', claim(3, 'worker-0-removing'));
        await by('worker-0-removing', effect(3, 'worker-0-removing', 'ended'));
        await by('worker-0-removing', 'delete from job_queue where id = 3');
      },
    ],
    [
      'a retry that raises run_no',
      async () => {
        await by(
          'monkey',
          `update job_queue set status = 'pending', run_no = run_no + 1 where id = 1`,
        );
        await by('worker-1', claim(1, 'worker-1'));
        await by('worker-1', effect(1, 'worker-1', 'ended', 2));
        await by('worker-1', settle(1));
      },
    ],
    [
      'a job that was cancelled as somebody asked',
      async () => {
        await runThird();
        await pool.query(`insert into asked values ('cancel', 3)`);
        await by('worker-1', settle(3, 'cancelled'));
      },
    ],
    [
      'a minute in which the server was away',
      () =>
        waitForAMinute(
          fault('restart', 'server', null, 0, 50),
          fault('clock', 'server', null, 40, 60),
        ),
    ],
    [
      'a minute in which the job was locked',
      () => waitForAMinute(`insert into touched values (5, 'lockRows')`),
    ],
    [
      'a minute in which the worker was frozen that had the job',
      () => waitForAMinute(fault('freeze', 'worker', 'worker-1', 0, 60)),
    ],
    [
      'a job that fails for good and leaves a dead letter, which is run',
      async () => {
        await runThird();
        await pool.query(`update job_queue set dead_letter_job_type = 'buried' where id = 3`);
        await by('worker-1', fail(3, 'by worker-1 in attempt 1: as asked'));
        await pool.query(bury(9, 3, 'completed'));
      },
    ],
    ['a minute after a retry', () => waitForAMinute(`insert into asked values ('retry', 5)`)],
  ];

  test.each(right)('%s', async (_, tell) => {
    await tell();
    expect(await check(pool)).toEqual([]);
  });
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
    ['no dead letter is in limbo', () => pool.query(bury(9, 1, 'pending'))],
    [
      'a key that is held until its job has settled is held by one job at a time',
      () => pool.query(`${addKeyed(3, 'unsettled-1')}; ${addKeyed(4, 'unsettled-1')}`),
    ],
    [
      'a key that is held for ever has been held by one job',
      async () => {
        await pool.query(addKeyed(3, 'once-1'));
        await runAndComplete(3);
        await pool.query(addKeyed(4, 'once-1'));
      },
    ],
    [
      'a job leaves a dead letter each time that it fails for good, and at no other time',
      () => pool.query(bury(9, 1, 'completed')),
    ],
    [
      'a job leaves a dead letter each time that it fails for good, and at no other time',
      async () => {
        await runThird();
        await pool.query(`update job_queue set dead_letter_job_type = 'buried' where id = 3`);
        await by('worker-1', fail(3, 'by worker-1 in attempt 1: as asked'));
      },
    ],
    [
      'a job is deleted by a worker that completes it and removes what is completed, and by nothing else',
      async () => {
        await runThird();
        await by('worker-1', 'delete from job_queue where id = 3');
      },
    ],
    [
      'a job is deleted by a worker that completes it and removes what is completed, and by nothing else',
      () => by('worker-0-removing', 'delete from job_queue where id = 1'),
    ],
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
      'a claim raises run_no, for the worker that makes it, and counts the attempt unless that is the last',
      async () => {
        await pool.query(add(3, 'quick'));
        await by('worker-1', claim(3, 'worker-2'));
      },
    ],
    [
      'a claim raises run_no, for the worker that makes it, and counts the attempt unless that is the last',
      async () => {
        await pool.query(add(3, 'quick'));
        await by('worker-1', claimLast(3, 'worker-1'));
      },
    ],
    [
      'what runs changes by a claim, or by the count of its last attempt',
      async () => {
        await runThird();
        await by('worker-1', count(3));
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
      'run_no changes by claims, by retries, and when a job is taken from a lost worker',
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
      'a run that is completed has had its effect',
      async () => {
        await pool.query([add(3, 'quick'), told(3)].join(';'));
        await by('worker-0-removing', claim(3, 'worker-0-removing'));
        await by('worker-0-removing', 'delete from job_queue where id = 3');
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
      'each attempt that is counted runs its handler once at the most',
      async () => {
        await runThird();
        await pool.query(effect(3, 'worker-1', 'begun'));
      },
    ],
    [
      'each attempt that is counted runs its handler once at the most',
      async () => {
        await addWithAttempts(4, 1);
        await by('worker-1', claimLast(4, 'worker-1'));
        await by('worker-1', effect(4, 'worker-1', 'begun'));
      },
    ],
    [
      'each attempt that is counted runs its handler once at the most',
      async () => {
        await addWithAttempts(4, 2);
        await by('worker-1', claim(4, 'worker-1'));
        await by('worker-1', effect(4, 'worker-1', 'begun'));
        await by('worker-1', settle(4, 'failed'));
        await by('worker-1', claimLast(4, 'worker-1'));
        await by('worker-1', effect(4, 'worker-1', 'begun'));
      },
    ],
    [
      'no job without a begun run ends for want of attempts',
      async () => {
        await addWithAttempts(4, 1);
        await lose(4, 'failed', fault('kill', 'worker', 'worker-1', 0, 0));
      },
    ],
    [
      'no job without a begun run ends for want of attempts',
      async () => {
        await addWithAttempts(4, 1);
        await by('worker-1', claimLast(4, 'worker-1'));
        await by('worker-1', count(4));
        await pool.query(fault('slow', 'worker', 'worker-1', 0, 0));
        await pool.query(endLease(4));
        await by('worker-2', recover(4, 'failed'));
      },
    ],
    [
      'an attempt without a begun run is lost only with its worker',
      async () => {
        await addWithAttempts(4, 2);
        await lose(4, 'pending', begun(4, 'worker-1'));
        await lose(4, 'failed', fault('slow', 'worker', 'worker-1', 0, 1));
      },
    ],
    [
      'no run that no fault has met is taken from its worker',
      async () => {
        await pool.query([add(5, 'quick'), told(5)].join(';'));
        await pool.query(`insert into touched values (5, 'refer')`);
        await lose(5, 'pending', fault('kill', 'worker', 'worker-2', 0, 0));
      },
    ],
    [
      'no job is cancelled that nobody asked to cancel',
      async () => {
        await runThird();
        await pool.query(`insert into asked values ('retry', 3), ('cancel', 1)`);
        await by('worker-1', settle(3, 'cancelled'));
      },
    ],
    [
      `no innocent job waits longer than ${LONGEST_INNOCENT_WAIT} seconds`,
      () =>
        waitForAMinute(
          fault('restart', 'server', null, 0, 30),
          fault('clock', 'server', null, 10, 35),
        ),
    ],
  ];

  test.each(broken)('%s', async (promise, breakIt) => {
    await breakIt();
    const violated = (await check(pool)).map((violation) => violation.promise);
    expect(violated).toContain(promise);
  });
});
