import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { currentJob, initJobQueue, JobQueueError, type JobQueueErrorCode } from '../index.js';
import { cliOutput } from './helpers/cli.js';
import { createDatabase, useDatabase } from './helpers/database.js';
import { freeAddress } from './helpers/network.js';
import { beginDueJobs, jobWith, openQueue, rejection, useQueue } from './helpers/queue.js';
import { deferred, until } from './helpers/until.js';

const database = useDatabase();
const queue = useQueue(database);

const job = { job_type: 'task', payload: {} };

/** What a run is told. */
type OfRuns = 'LEASE_LOST' | 'TIMEOUT' | 'CANCELLED' | 'DEADLINE' | 'NO_HANDLER';

/** What a program is told that lacks the addon: see package/addon.test.ts. */
type OfInstallations = 'ADDON_UNAVAILABLE';

/** Of every code, something that a user may do. */
const mistakes: Record<
  Exclude<JobQueueErrorCode, OfRuns | OfInstallations>,
  () => Promise<unknown>
> = {
  INVALID_CONFIG: () => initJobQueue({ databaseConfig: { connectionString: undefined } }),
  INVALID_ARGUMENT: () => queue.addJob({ ...job, priority: 1.5 }),
  INVALID_PAYLOAD: () => queue.addJob({ ...job, payload: { total: 1n } }),
  NOT_MIGRATED: async () => {
    await using unknown = await openQueue(database, { schema: 'missing' });
    await unknown.addJob(job);
  },
  CONNECTION_FAILED: async () => {
    await using down = await openQueue(database, { databaseConfig: await freeAddress() });
    await down.addJob(job);
  },
  JOB_RUNNING: async () => {
    const id = await queue.addJob(job);
    const run = await beginDueJobs(queue);
    await queue.retryJob(id).finally(run.finish);
  },
  DUPLICATE_JOB: async () => {
    const keyed = { ...job, idempotency_key: 'one' };
    await queue.addJob(keyed);
    await queue.addJob(keyed, { onConflict: 'reject' });
  },
  CLOSED: async () => {
    const closed = await openQueue(database);
    await closed.close();
    await closed.addJob(job);
  },
  DATABASE_ERROR: async () => {
    await using standby = await createDatabase();
    await standby.query(`alter database ${standby.name} set default_transaction_read_only = on`);
    await using readOnly = await openQueue(standby);
    await readOnly.addJob(job);
  },
};

async function thrownByUserCode(act: () => Promise<unknown>): Promise<unknown> {
  try {
    return expect.fail(`resolved to ${inspect(await act())}`);
  } catch (error) {
    return error;
  }
}

describe.each(Object.entries(mistakes))('an error of the code %s', (code, mistake) => {
  test('is a JobQueueError, whose stack leads to the code that made the call', async () => {
    const error = (await thrownByUserCode(mistake)) as JobQueueError;
    expect(error).toBeInstanceOf(JobQueueError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ code, name: 'JobQueueError' });
    expect(error.message).not.toBe('');
    expect(String(error)).toBe(`JobQueueError: ${error.message}`);
    expect(error.stack).toContain(`JobQueueError: ${error.message}\n`);
    expect(error.stack).toMatch(/at (async )?thrownByUserCode .*errors\.test/);
  });
});

test('an error of the code LEASE_LOST is what a run is told that has lost its job', async () => {
  await database.query('truncate job_queue');
  const id = await queue.addJob(job);
  const [started, finish, onError] = [deferred(), deferred(), vi.fn()];
  const handler = () => {
    started.resolve();
    return finish.promise;
  };
  const run = queue.createProcessor({ task: handler }, { onError }).start();
  await started.promise;
  await database.query(`update job_queue set status = 'cancelled'`);
  finish.resolve();
  await run;
  expect(onError).toHaveBeenCalledOnce();
  const [error] = onError.mock.calls[0] as [JobQueueError];
  expect(error).toBeInstanceOf(JobQueueError);
  expect(error).toMatchObject({
    code: 'LEASE_LOST',
    message: expect.stringContaining(`job ${id}`),
    stack: expect.stringContaining('JobQueueError'),
  });
  expect(await queue.getJob(id)).toMatchObject({ status: 'cancelled' });
});

describe('an error that Postgres gave', () => {
  test('has its SQLSTATE, and what Postgres said as its cause', async () => {
    const error = await rejection(mistakes.DATABASE_ERROR(), 'DATABASE_ERROR', /read-only/);
    expect(error.sqlState).toBe('25006');
    expect(error.cause).toBeInstanceOf(Error);
    expect(error.cause).toMatchObject({ message: expect.stringContaining('read-only') });
  });

  test('says what else than a standby takes no writes', async () => {
    await rejection(
      mistakes.DATABASE_ERROR(),
      'DATABASE_ERROR',
      /default_transaction_read_only is on/,
    );
  });

  test('says where the ids are used up, and what to do', async () => {
    await using full = await createDatabase();
    await full.query('alter sequence job_queue_id_seq maxvalue 2');
    await using adding = await openQueue(full);
    await adding.addJobs([job, job]);
    for (const add of [() => adding.addJob(job), () => adding.addJobs([job, job])]) {
      const error = await rejection(add(), 'DATABASE_ERROR', /job_queue_id_seq .*upgrading\.md/);
      expect(error.sqlState).toBe('2200H');
    }
  });

  test('says that a view stands in place of the table', async () => {
    await using viewed = await createDatabase();
    await viewed.query('alter table job_queue rename to jobs');
    await viewed.query('create view job_queue as select * from jobs');
    await using running = await openQueue(viewed);
    const start = running.createProcessor({ task: async () => {} }, { onError() {} }).start();
    await rejection(start, 'DATABASE_ERROR', /job_queue is not a table/);
  });

  test('says what a publication needs', async () => {
    await using published = await createDatabase();
    await using running = await openQueue(published);
    await published.query(`
      create publication everything for table job_queue;
      alter table job_queue replica identity full`);
    const id = await running.addJob(job);
    const advice = /set \(publish_generated_columns = stored\)/;
    const error = await rejection(running.cancelJob(id), 'DATABASE_ERROR', advice);
    expect(error.sqlState).toBe('42P10');
    await published.query(`alter publication everything ${advice.exec(error.message)?.[0]}`);
    await running.cancelJob(id);
  });

  test('is a failed connection where the server has ended an idle session of the caller’s', async () => {
    const ended = new Error('terminating connection due to idle-session timeout');
    const db = { query: () => Promise.reject(Object.assign(ended, { code: '57P05' })) };
    const error = await rejection(
      queue.addJob(job, { db }),
      'CONNECTION_FAILED',
      /ended the connection/,
    );
    expect(error.sqlState).toBe('57P05');
  });

  test('of a policy that raises for one row does not take what was settled for lost', async () => {
    await using guarded = await createDatabase();
    const role = `raiser_of_${guarded.name}`;
    await guarded.query(`
      create role ${role} login password 'secret';
      grant all on job_queue to ${role};
      alter table job_queue enable row level security;
      create policy mine on job_queue using ((payload->>'tenant')::int > 0)`);
    const databaseConfig = { ...guarded.directConfig, user: role, password: 'secret' };
    const told = vi.fn();
    const held: (() => void)[] = [];
    const task = () => new Promise<void>((resolve) => held.push(resolve));
    try {
      await using running = await openQueue(guarded, { databaseConfig });
      const add = (tenant: string) =>
        guarded.query(`select add_job('task', jsonb_build_object('tenant', $1::text))`, [tenant]);
      for (let count = 0; count < 4; count++) await add('1');
      const options = { concurrency: 9, pollInterval: 20, onError: told };
      const processor = running.createProcessor({ task }, options);
      processor.startInBackground();
      await until(() => held.length === 4);
      await add('none');
      for (const [at, release] of held.entries()) {
        // A claim has failed since the last outcome.
        await until(() => told.mock.calls.length > at);
        release();
        const completed = `select from job_queue where status = 'completed'`;
        await until(async () => (await guarded.query(completed)).length === at + 1);
        told(new Error('the next'));
      }
      await guarded.query(`delete from job_queue where payload->>'tenant' = 'none'`);
      await processor.stopAndDrain();
      const codes = told.mock.calls.map(([error]) => error.code ?? 'the next');
      expect(new Set(codes)).toEqual(new Set(['DATABASE_ERROR', 'the next']));
    } finally {
      await guarded.query(`drop owned by ${role}; drop role ${role}`);
    }
  });

  test('says that a policy hides jobs, and a processor ends all the same', async () => {
    await using guarded = await createDatabase();
    const role = `worker_of_${guarded.name}`;
    await guarded.query(`
      create role ${role} login password 'secret';
      grant all on job_queue to ${role};
      alter table job_queue enable row level security;
      create policy seen on job_queue for select using (status <> 'completed');
      create policy changed on job_queue for update using (true)`);
    const databaseConfig = { ...guarded.directConfig, user: role, password: 'secret' };
    const told = vi.fn();
    try {
      await using running = await openQueue(guarded, { databaseConfig });
      const id = await jobWith(guarded);
      await running.createProcessor({ task: async () => {} }, { onError: told }).start();
      expect(told.mock.calls.join()).toMatch(/a row-level security policy keeps this role/);
      expect(await running.getJob(id)).toMatchObject({ status: 'failed' });
    } finally {
      await guarded.query(`drop owned by ${role} cascade; drop role ${role}`);
    }
  });

  test('never holds the payload that it was about', async () => {
    await database.query(`create function refuse() returns trigger language plpgsql as
      $$ begin perform new.payload::text::int; return new; end $$`);
    await database.query(
      'create trigger refuse before insert on job_queue for each row execute function refuse()',
    );
    const payload = { secret: 'marker-71' };
    const error = await rejection(queue.addJob({ ...job, payload }), 'DATABASE_ERROR');
    expect(error.sqlState).toBe('22P02');
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('marker-71');
    await database.query('drop function refuse cascade');
  });
});

test('an error that Postgres has no part in has no SQLSTATE and no cause', async () => {
  const error = await rejection(queue.getJob(0), 'INVALID_ARGUMENT');
  expect('sqlState' in error).toBe(false);
  expect('cause' in error).toBe(false);
});

test('currentJob throws outside a handler', () => {
  const refusal = expect.objectContaining({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('currentJob'),
  });
  expect(() => currentJob()).toThrow(refusal);
  expect(() => currentJob()).toThrow(JobQueueError);
});

describe('a database that is not migrated', () => {
  const advice = /pg-bg-job-queue-cli migrate/;

  test('is what every method says', async () => {
    await using empty = await createDatabase({ migrated: false });
    await using onEmpty = await openQueue(empty);
    const processor = onEmpty.createProcessor({}, { onError: () => {} });
    const calls = [
      () => onEmpty.addJob(job),
      () => onEmpty.addJob(empty.pool, job),
      () => onEmpty.getJob(1),
      () => onEmpty.getJobsByStatus('pending'),
      () => onEmpty.getAllJobs(),
      () => onEmpty.retryJob(1),
      () => onEmpty.cancelJob(1),
      () => onEmpty.cancelAllUpcomingJobs(),
      () => onEmpty.reclaimStuckJobs(),
      () => onEmpty.cleanupOldJobs(),
      () => processor.start(),
    ];
    for (const call of calls) {
      const error = await rejection(call(), 'NOT_MIGRATED', advice);
      expect(error.sqlState).toBe('42P01');
    }

    // And no longer, once it is.
    await cliOutput(['migrate'], { url: empty.url });
    const id = await onEmpty.addJob(job);
    expect(await onEmpty.getJob(id)).toMatchObject(job);
  });

  test('is one that has no such schema', async () => {
    await using elsewhere = await openQueue(database, { schema: 'missing' });
    const toldSchema = /`npx pg-bg-job-queue-cli migrate --schema missing`/;
    const error = await rejection(elsewhere.addJob(job), 'NOT_MIGRATED', toldSchema);
    expect(error.message).toContain(database.name);
    await rejection(elsewhere.getAllJobs(), 'NOT_MIGRATED', /"?missing"?\.job_queue/);
    await rejection(elsewhere.getAllJobs(database.pool), 'NOT_MIGRATED', toldSchema);
  });

  test("is one that has the original's table only", async () => {
    await using original = await createDatabase({ migrated: false });
    await cliOutput(['migrate'], { url: original.url });
    await cliOutput(['migrate', 'down', '2'], { url: original.url });
    const id = await jobWith(original);
    await using onOriginal = await openQueue(original);
    const processor = onOriginal.createProcessor({}, { onError: () => {} });
    for (const call of [
      () => processor.start(),
      () => onOriginal.retryJob(id),
      () => onOriginal.reclaimStuckJobs(),
      () => onOriginal.retryJob(original.pool, id),
    ]) {
      const error = await rejection(call(), 'NOT_MIGRATED', advice);
      expect(error.sqlState).toBe('42703');
    }
    await cliOutput(['migrate'], { url: original.url });
    expect(await onOriginal.retryJob(id)).toBeUndefined();
  });
});
