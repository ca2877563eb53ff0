import { inspect } from 'node:util';
import { Client, Pool } from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { type DatabaseClient, initJobQueue } from '../../index.js';
import { useDatabase } from '../helpers/database.js';
import { freeAddress, openProxy } from '../helpers/network.js';
import { rejection, useQueue } from '../helpers/queue.js';
import { libraries, type Open } from './libraries.js';
import { startNeonProxy } from './neon-proxy.js';

const database = useDatabase();
const queue = useQueue(database);

beforeAll(async () => {
  const proxy = await startNeonProxy();
  return () => proxy[Symbol.asyncDispose]();
});

const job = (name: string) => ({ job_type: 'task', payload: { name } });

/** All that can be read in an error, the payload of which is `marker-71`. */
const everything = (error: unknown) => inspect(error, { depth: 20, showHidden: true });

const withPayload = { job_type: 'task', payload: { secret: 'marker-71' }, priority: 100 };

const empty = useDatabase({ migrated: false });
const onEmpty = useQueue(empty);
const strict = useDatabase();
const onStrict = useQueue(strict);
const alien = useDatabase();
const onAlien = useQueue(alien);

beforeAll(async () => {
  await strict.query('alter table job_queue add constraint only_cheap check (priority < 100)');
  await alien.query('alter table job_queue alter payload type int using 1');
});

describe.each(Object.entries(libraries))('an error of %s', (_, open) => {
  test('that the tables are missing says to migrate, and holds no payload', async () => {
    await using client = await disposable(open, empty.directUrl);
    const error = await rejection(
      onEmpty.addJob(client.db, withPayload),
      'NOT_MIGRATED',
      /"public.job_queue" does not exist.*pg-bg-job-queue-cli migrate/,
    );
    expect(error.sqlState).toBe('42P01');
    expect(error.cause).toMatchObject({ code: '42P01', message: /^relation "public.job_queue"/ });
    expect(everything(error)).not.toContain('marker-71');
  });

  test('about the data is told without the data', async () => {
    await using client = await disposable(open, strict.directUrl);
    const call = onStrict.addJob(client.db, withPayload);
    const error = await rejection(call, 'DATABASE_ERROR', /only_cheap/);
    expect(error.sqlState).toBe('23514');
    expect(everything(error)).not.toContain('marker-71');
  });

  test('that has nothing to do with the data holds none of it either', async () => {
    await using client = await disposable(open, alien.directUrl);
    const error = await rejection(onAlien.addJob(client.db, withPayload), 'DATABASE_ERROR');
    expect(error).toMatchObject({ sqlState: '42804', cause: { code: '42804' } });
    expect(everything(error)).not.toContain('marker-71');
  });
});

/** Those that connect with their first statement, and not when they are opened. */
const lazily = Object.entries(libraries).filter(([name]) => !/Client|reserved|TypeORM/.test(name));

describe.each(lazily)('an error of %s', (_, open) => {
  test('that nothing listens is one of the connection', async () => {
    const { host, port } = await freeAddress();
    const url = Object.assign(new URL(database.directUrl), { host: `${host}:${port}` });
    await using client = await disposable(open, url.href);
    const { cause } = await rejection(queue.getJob(client.db, 1), 'CONNECTION_FAILED');
    expect(cause).toBeInstanceOf(Error);
  });

  test('that the password is wrong is one of the connection, and does not tell it', async () => {
    const url = Object.assign(new URL(database.directUrl), { password: 'wrong-secret' });
    await using client = await disposable(open, url.href);
    const error = await rejection(queue.getJob(client.db, 1), 'CONNECTION_FAILED', /password/);
    expect(error.sqlState).toBe('28P01');
    expect(everything(error)).not.toContain('wrong-secret');
  });
});

async function disposable(open: Open, url: string) {
  const opened = await open(url);
  return { ...opened, [Symbol.asyncDispose]: async () => void (await opened.close()) };
}

describe('an error of the client', () => {
  /** Both ways to name a client. */
  const calls = (client: DatabaseClient) => [
    () => queue.getJob(client, 1),
    () => queue.addJob(client, job('x')),
    () => queue.addJob(job('x'), { db: client }),
  ];

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
    const client = new Client({ connectionString: database.directUrl });
    await client.connect();
    await client.end();
    for (const call of calls(client)) {
      const { cause } = await rejection(call(), 'DATABASE_ERROR', /client .* failed: .*closed/i);
      expect(cause).toBeInstanceOf(Error);
    }
    const pool = new Pool({ connectionString: database.directUrl });
    await pool.end();
    for (const call of calls(pool)) {
      await rejection(call(), 'DATABASE_ERROR', /client .* failed: .*end/);
    }
  });

  test('that its connection is lost is passed on', async () => {
    await using proxy = await openProxy(database.directConfig);
    const client = new Client({ ...database.directConfig, ...proxy.address });
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
    expect(cause).toMatchObject({ code: 'ECONNREFUSED', message: /::1.*127\.0\.0\.1/ });
  });

  test('that nothing listens is passed on', async () => {
    const pool = new Pool({ ...database.directConfig, ...(await freeAddress()) });
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
    const pool = new Pool({ ...database.directConfig, ...config });
    const error = await rejection(queue.getJob(pool, 1), 'CONNECTION_FAILED');
    expect(error.sqlState).toBe(sqlState);
    expect(error.cause).toBeInstanceOf(Error);
    expect(inspect(error)).not.toContain('wrong-secret');
    await pool.end();
    await using own = await initJobQueue({
      databaseConfig: { ...database.directConfig, ...config },
    });
    expect((await rejection(own.getJob(1), 'CONNECTION_FAILED')).sqlState).toBe(sqlState);
  });

  test.each([undefined, null, 'text', { code: 42 }])(
    'that is no Error becomes one: %o',
    async (thrown) => {
      const client = { query: () => Promise.reject(thrown) };
      await rejection(queue.getJob(client, 1), 'DATABASE_ERROR', /client .* failed/);
    },
  );

  test.each([
    ['nothing', undefined],
    ['no rows', { rowCount: 1 }],
    ['no text', { rows: [{ result: 1 }] }],
    ['an empty row', { rows: [null] }],
  ])('that it answers %s says that the statement may have run', async (_, answer) => {
    const client = { query: async () => answer } as unknown as DatabaseClient;
    await rejection(queue.getJob(client, 1), 'DATABASE_ERROR', /client .* may have run/);
  });

  test('that is thrown and not rejected is passed on', async () => {
    const client = {
      query: () => {
        throw new Error('not today');
      },
    };
    await rejection(queue.getJob(client, 1), 'DATABASE_ERROR', /not today/);
  });
});
