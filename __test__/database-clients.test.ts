import { inspect } from 'node:util';
import { Client, Pool, type PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type DatabaseClient, initJobQueue, type JobQueue } from '../index.js';
import { createDatabase, useDatabase } from './helpers/database.js';
import { freeAddress, openProxy } from './helpers/network.js';
import { beginDueJobs, jobWith, openQueue, rejection, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

const job = (name: string) => ({ job_type: 'task', payload: { name } });
const names = async () => (await queue.getAllJobs()).map(({ payload }) => payload.name).reverse();

/** A method by its name, with the client in the first place if there is one. */
type Call = (method: keyof JobQueue & string, ...args: unknown[]) => Promise<unknown>;

const through =
  (client: DatabaseClient | null, on: JobQueue = queue): Call =>
  (method, ...args) => {
    const call = on[method] as (...args: unknown[]) => Promise<unknown>;
    return client === null ? call(...args) : call(client, ...args);
  };

/** What no application in its right mind would make of every number, date and JSON text. */
const strangeTypes = {
  getTypeParser: (oid: number) => (text: unknown) =>
    oid === 25 ? text : { strangely: 'parsed', oid },
} as unknown as typeof import('pg').types;

/** Settings under which Postgres writes dates and texts differently, and finds no table by name. */
const strangeSettings = [
  'TimeZone=Asia/Kathmandu',
  'DateStyle=SQL,DMY',
  'IntervalStyle=sql_standard',
  'extra_float_digits=-5',
  'standard_conforming_strings=off',
  'search_path=pg_temp',
];

type Opened = { client: DatabaseClient; close(): Promise<void> };

const clients: Record<string, () => Promise<Opened>> = {
  'a Pool': async () => openPool(new Pool({ connectionString: database.url })),
  'a PoolClient': async () => {
    const client = await database.pool.connect();
    return { client, close: async () => client.release() };
  },
  'a Client': async () => openClient(new Client({ connectionString: database.url })),
  'anything with a query method': async () => ({
    client: { query: (text, values) => database.pool.query(text, values) },
    close: async () => {},
  }),
  'a Pool with type parsers of its own': async () =>
    openPool(new Pool({ connectionString: database.url, types: strangeTypes })),
  'a Client with type parsers of its own': async () => {
    const client = new Client({ connectionString: database.url });
    for (const oid of [16, 20, 21, 23, 114, 701, 1114, 1184, 1700, 3802]) {
      client.setTypeParser(oid, () => 'strange');
    }
    return openClient(client);
  },
  'a Client with settings of its own': async () => {
    const options = strangeSettings.map((setting) => `-c ${setting}`).join(' ');
    return openClient(new Client({ connectionString: database.url, options }));
  },
};

const openPool = (pool: Pool): Opened => ({ client: pool, close: () => pool.end() });

async function openClient(client: Client): Promise<Opened> {
  await client.connect();
  return { client, close: () => client.end() };
}

describe('every method does the same on a client as on its own pool', () => {
  /** One job for everything that the methods do to jobs, told apart by their ids. */
  async function addJobsByHand(): Promise<void> {
    await database.query('truncate job_queue restart identity');
    const states = [
      `status = 'failed', attempts = 1, run_at = '2030-01-02 03:04:05.678Z', next_attempt_at = '2020-01-02',
       locked_at = '-infinity', locked_by = 'worker ü', pending_reason = 'because', priority = -1,
       payload = '{"text": "a\\\\b ''c'' \\"d\\" 😀", "big": 12345678901234567890, "nothing": null}',
       error_history = '[{"message": "no", "timestamp": "2030-01-02T03:04:05.678Z"}]'`,
      `status = 'failed', attempts = 3`,
      `status = 'completed', updated_at = '2020-01-02'`,
      `status = 'processing', attempts = 1, locked_at = '2020-01-02'`,
      `status = 'processing', attempts = 3, locked_at = '2020-01-02', locked_by = 'worker-9'`,
      'priority = 7',
      `priority = 7, job_type = 'other'`,
      `run_at = '2030-01-02 03:04:05.678Z'`,
      `status = 'failed', attempts = 2`,
    ];
    for (const state of states) await jobWith(database, state);
    // The same at each time: what is now becomes the day of the others.
    await database.query(`update job_queue set created_at = timestamptz '2020-01-02' - id * interval '1 h',
      updated_at = '2020-01-02', run_at = case when run_at > now() then run_at else '2020-01-02' end`);
  }

  /** What the methods give and what they leave behind, without what depends on the time of the day. */
  async function useEveryMethod(call: Call) {
    await addJobsByHand();
    const given = {
      all: await call('getAllJobs'),
      page: await call('getAllJobs', 3, 2),
      failed: await call('getJobsByStatus', 'failed'),
      failedPage: await call('getJobsByStatus', 'failed', 1, 1),
      one: await call('getJob', 1),
      byDigits: await call('getJob', '1'),
      none: await call('getJob', 1000),
      retried: await call('retryJob', 2),
      retriedNone: await call('retryJob', 1000),
      cancelled: await call('cancelJob', 9),
      cancelledNone: await call('cancelJob', 3),
      reclaimed: await call('reclaimStuckJobs', 30),
      reclaimedNone: await call('reclaimStuckJobs'),
      deleted: await call('cleanupOldJobs', 30),
      deletedNone: await call('cleanupOldJobs'),
      cancelledOfType: await call('cancelAllUpcomingJobs', { job_type: 'other', priority: 7 }),
      cancelledByTime: await call('cancelAllUpcomingJobs', {
        run_at: new Date('2030-01-02T03:04:05.678Z'),
      }),
      cancelledAll: await call('cancelAllUpcomingJobs'),
      added: await call('addJob', {
        job_type: 'über 😀',
        payload: { text: `a\\b 'c' "d" 😀 $1`, list: [1.5, null, true] },
        max_attempts: 7,
        priority: -2147483648,
        run_at: new Date('2030-01-02T03:04:05.678Z'),
      }),
    };
    const left = await database.query(`
      select (to_jsonb(job) - '{created_at, updated_at, run_at, next_attempt_at, ready_at, error_history}'::text[])
        || jsonb_build_object(
          'touched', updated_at > now() - interval '1 min',
          'due', run_at <= now(),
          'planned', case when run_at > now() then run_at end,
          'messages', jsonb_path_query_array(error_history, '$[*].message')) as job
      from job_queue job order by id`);
    return { given, left };
  }

  let expected: Awaited<ReturnType<typeof useEveryMethod>>;

  beforeAll(async () => {
    expected = await useEveryMethod(through(null));
    expect(expected.given).toMatchObject({
      one: { id: 1, run_at: new Date('2030-01-02T03:04:05.678Z') },
      none: null,
      retried: undefined,
      cancelled: undefined,
      reclaimed: 2,
      deleted: 1,
      cancelledOfType: 1,
      cancelledByTime: 1,
      cancelledAll: 3,
      added: 10,
    });
  });

  test.each(Object.keys(clients))('%s', async (name) => {
    const { client, close } = await (clients[name] as () => Promise<Opened>)();
    try {
      const { given, left } = await useEveryMethod(through(client));
      expect(given).toStrictEqual(expected.given);
      expect(left).toEqual(expected.left);
      expect((given.one as { run_at: unknown }).run_at).toBeInstanceOf(Date);

      // The other way to say it, which addJob has besides.
      const id = await queue.addJob(job('with { db }'), { db: client });
      expect(await queue.getJob(id)).toMatchObject(job('with { db }'));
    } finally {
      await close();
    }
  });

  test('a job that runs is refused to retryJob', async () => {
    await database.query('truncate job_queue');
    const id = await queue.addJob(job('runs'));
    const run = await beginDueJobs(queue);
    const message = (await rejection(queue.retryJob(id), 'JOB_RUNNING')).message;
    await rejection(queue.retryJob(database.pool, id), 'JOB_RUNNING', message);
    await run.finish();
  });

  test('on the tables of another schema', async () => {
    await database.query('create schema elsewhere');
    await database.query('create table elsewhere.job_queue (like public.job_queue including all)');
    await using other = await openQueue(database, { schema: 'elsewhere' });
    const id = await other.addJob(database.pool, job('elsewhere'));
    expect(await other.getJob(id)).toMatchObject(job('elsewhere'));
    expect(await other.getAllJobs(database.pool)).toHaveLength(1);
  });
});

describe("in the caller's transaction", () => {
  let client: PoolClient;

  beforeAll(async () => {
    client = await database.pool.connect();
  });
  afterAll(() => client.release());

  beforeEach(async () => {
    await database.query('truncate job_queue');
    await client.query('begin');
    return () => client.query('rollback');
  });

  const add = {
    'in the first place': (name: string) => queue.addJob(client, job(name)),
    'as { db }': (name: string) => queue.addJob(job(name), { db: client }),
  };

  describe.each(['in the first place', 'as { db }'] as const)('with the client %s', (form) => {
    test('a job is there for others once that commits, and not before', async () => {
      const id = await add[form]('new');
      expect(await queue.getJob(client, id)).toMatchObject({ id });
      expect(await queue.getJob(id)).toBeNull();
      await client.query('commit');
      expect(await queue.getJob(id)).toMatchObject(job('new'));
    });

    test('a job is gone if that rolls back', async () => {
      await add[form]('never');
      await client.query('rollback');
      expect(await names()).toEqual([]);
    });

    test('a job is gone if that rolls back to a savepoint before it', async () => {
      await add[form]('first');
      await client.query('savepoint before');
      await add[form]('second');
      await client.query('rollback to savepoint before');
      await add[form]('third');
      await client.query('commit');
      expect(await names()).toEqual(['first', 'third']);
    });

    test('a job goes the way of the rows that it belongs with', async () => {
      await client.query('create table orders (job_id bigint)');
      await client.query('insert into orders values ($1)', [await add[form]('ship')]);
      await client.query('commit');
      const [order] = await database.query<{ job_id: string }>('select job_id from orders');
      expect(await queue.getJob(order?.job_id as string)).toMatchObject(job('ship'));
      await database.query('drop table orders');
    });
  });

  test('what is refused before it is sent leaves the transaction usable', async () => {
    const bad = { job_type: 'task', payload: 'a\0b' };
    await rejection(queue.addJob(client, bad), 'INVALID_PAYLOAD');
    await rejection(queue.addJob(bad, { db: client }), 'INVALID_PAYLOAD');
    await rejection(queue.addJob(client, { ...job('x'), priority: 0.5 }), 'INVALID_ARGUMENT');
    await queue.addJob(client, job('good'));
    await client.query('commit');
    expect(await names()).toEqual(['good']);
  });

  test('a retry, a cancellation and a clean-up are undone as well', async () => {
    const states = [`status = 'failed', attempts = 3`, '', `status = 'completed'`];
    const ids: number[] = [];
    for (const state of states) ids.push(await jobWith(database, state));
    const [failed, pending] = ids as [number, number];
    const before = await queue.getAllJobs();
    await queue.retryJob(client, failed);
    await queue.cancelJob(client, pending);
    await queue.cancelAllUpcomingJobs(client);
    await queue.cleanupOldJobs(client, 0);
    expect(await queue.getAllJobs(client)).not.toEqual(before);
    await client.query('rollback');
    expect(await queue.getAllJobs()).toEqual(before);
  });
});

describe('an error of the client', () => {
  /** Both ways to name a client. */
  const calls = (client: DatabaseClient) => [
    () => queue.getJob(client, 1),
    () => queue.addJob(client, job('x')),
    () => queue.addJob(job('x'), { db: client }),
  ];

  test('that the tables are missing says to migrate', async () => {
    await using empty = await createDatabase({ migrated: false });
    for (const call of calls(empty.pool)) {
      const error = await rejection(call(), 'NOT_MIGRATED', /pg-bg-job-queue-cli migrate/);
      expect(error.sqlState).toBe('42P01');
      expect(error.cause).toMatchObject({ code: '42P01', message: /job_queue/ });
    }
  });

  test('from Postgres has its SQLSTATE, and is the cause', async () => {
    const client = await database.pool.connect();
    await client.query('begin transaction read only');
    const refusal = await rejection(queue.addJob(client, job('x')), 'DATABASE_ERROR', /read-only/);
    expect(refusal).toMatchObject({ sqlState: '25006', cause: { code: '25006' } });
    const aborted = await rejection(queue.getJob(client, 1), 'DATABASE_ERROR', /aborted/);
    expect(aborted).toMatchObject({ sqlState: '25P02', cause: { code: '25P02' } });
    await client.query('rollback');
    client.release();
  });

  test('that it is closed is passed on', async () => {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    await client.end();
    for (const call of calls(client)) {
      const { cause } = await rejection(call(), 'DATABASE_ERROR', /client .* failed: .*closed/i);
      expect(cause).toBeInstanceOf(Error);
    }
    const pool = new Pool({ connectionString: database.url });
    await pool.end();
    for (const call of calls(pool)) {
      await rejection(call(), 'DATABASE_ERROR', /client .* failed: .*end/);
    }
  });

  test('that its connection is lost is passed on', async () => {
    await using proxy = await openProxy(database.config);
    const client = new Client({ ...database.config, ...proxy.address });
    client.on('error', () => {});
    await client.connect();
    await client.query('begin');
    proxy.cut();
    // At first that it ends, and later that it has ended.
    await rejection(
      queue.getJob(client, 1),
      'CONNECTION_FAILED',
      /client .* failed: .*connection/i,
    );
    const { cause } = await rejection(queue.getJob(client, 1), 'CONNECTION_FAILED');
    expect(cause).toBeInstanceOf(Error);
  });

  test('that no address of a host answers names each of them', async () => {
    // What Node.js gives for a name with several addresses.
    const refused = ['::1', '127.0.0.1'].map((host) => new Error(`connect ECONNREFUSED ${host}`));
    const thrown = Object.assign(new AggregateError(refused), { code: 'ECONNREFUSED' });
    const call = queue.getJob({ query: () => Promise.reject(thrown) }, 1);
    const { cause } = await rejection(call, 'CONNECTION_FAILED', /::1.*127\.0\.0\.1/);
    expect(cause).toBe(thrown);
  });

  test('that nothing listens is passed on', async () => {
    const pool = new Pool({ ...database.config, ...(await freeAddress()) });
    for (const call of calls(pool)) {
      const { cause } = await rejection(call(), 'CONNECTION_FAILED', /failed: .*ECONNREFUSED/);
      expect(cause).toMatchObject({ code: 'ECONNREFUSED' });
    }
    await pool.end();
  });

  test.each([
    ['the host is unknown', { host: 'no-such-host.invalid' }, undefined],
    ['the password is wrong', { password: 'wrong-secret' }, '28P01'],
    ['the database is unknown', { database: 'nowhere' }, '3D000'],
  ])('that %s has the code that the own pool would give', async (_, config, sqlState) => {
    const pool = new Pool({ ...database.config, ...config });
    const error = await rejection(queue.getJob(pool, 1), 'CONNECTION_FAILED');
    expect(error.sqlState).toBe(sqlState);
    expect(error.cause).toBeInstanceOf(Error);
    expect(inspect(error)).not.toContain('wrong-secret');
    await pool.end();
    await using own = await initJobQueue({ databaseConfig: { ...database.config, ...config } });
    expect((await rejection(own.getJob(1), 'CONNECTION_FAILED')).sqlState).toBe(sqlState);
  });

  test('never holds the payload that it was about', async () => {
    await database.query(
      `alter table job_queue add constraint only_cheap check (priority < 100) not valid`,
    );
    const costly = { job_type: 'task', payload: { secret: 'marker-71' }, priority: 100 };
    for (const client of [null, database.pool]) {
      const call = through(client)('addJob', costly);
      const error = await rejection(call, 'DATABASE_ERROR', /only_cheap/);
      expect(error.sqlState).toBe('23514');
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('marker-71');
    }
    await database.query('alter table job_queue drop constraint only_cheap');
  });

  test.each([undefined, null, 'text', { code: 42 }])(
    'that is no Error becomes one: %o',
    async (thrown) => {
      const client = { query: () => Promise.reject(thrown) };
      await rejection(queue.getJob(client, 1), 'DATABASE_ERROR', /client .* failed/);
    },
  );

  test('that is thrown and not rejected is passed on', async () => {
    const client = {
      query: () => {
        throw new Error('not today');
      },
    };
    await rejection(queue.getJob(client, 1), 'DATABASE_ERROR', /not today/);
  });
});

describe('a client in the wrong place is refused, and the message says where it belongs', () => {
  const client = { query: () => Promise.reject(new Error('used')) };

  test.each<[keyof JobQueue & string, ...unknown[]]>([
    ['getAllJobs', undefined, 10, 0],
    ['getAllJobs', 10, 0, client],
    ['getJobsByStatus', undefined, 'failed', 10, 0],
    ['getJob', undefined, 1],
    ['getJob', {}, 1],
    ['getJob', 1, client],
    ['retryJob', undefined, 1],
    ['retryJob', 1, { db: client }],
    ['cancelJob', undefined, 1],
    ['cancelAllUpcomingJobs', undefined, {}],
    ['cancelAllUpcomingJobs', {}, client],
    ['reclaimStuckJobs', undefined, 10],
    ['cleanupOldJobs', undefined, 30],
    ['addJob', job('x'), client],
    ['addJob', job('x'), { db: null }],
    ['addJob', job('x'), { db: {} }],
  ])('%s(%o, %o, %o)', async (method, ...args) => {
    await rejection(through(null)(method, ...args), 'INVALID_ARGUMENT', /client/i);
  });
});
