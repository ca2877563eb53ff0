import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type DatabaseConfig, initJobQueue, type JobQueue, JobQueueError } from '../index.js';
import { runScript } from './helpers/child.js';
import { useDatabase } from './helpers/database.js';
import { freeAddress, openProxy, openServer } from './helpers/network.js';
import { beginDueJobs, openQueue, rejection } from './helpers/queue.js';
import { until } from './helpers/until.js';

const database = useDatabase();

const job = { job_type: 'task', payload: {} };

/** A queue on exactly these settings, closed when the test is over. */
async function connectWith(databaseConfig: DatabaseConfig): Promise<JobQueue> {
  const queue = await initJobQueue({ databaseConfig });
  onTestFinished(() => queue.close());
  return queue;
}

/** A queue whose connections can be told from all others, and what Postgres says of them. */
async function watchedQueue(databaseConfig: DatabaseConfig = {}) {
  const application_name = `watched ${randomUUID()}`;
  const queue = await connectWith({ ...database.config, application_name, ...databaseConfig });
  const connections = (where = 'true') =>
    database.query<{ pid: number; backend_start: Date }>(
      `select pid, backend_start from pg_stat_activity where application_name = $1 and ${where}`,
      [application_name],
    );
  return { queue, connections };
}

/** Keeps every statement on the table waiting until it is called. */
async function lockTable(): Promise<() => Promise<unknown>> {
  const client = await database.pool.connect();
  await client.query('begin');
  await client.query('lock table job_queue in access exclusive mode');
  const release = async () => {
    await client.query('rollback');
    client.release();
  };
  let released: Promise<void> | undefined;
  const once = () => {
    released ??= release();
    return released;
  };
  onTestFinished(once);
  return once;
}

const waiting = `wait_event_type = 'Lock'`;

/** Ends connections from the server's side, and waits until they are gone. */
async function terminate(connections: { pid: number }[]): Promise<void> {
  for (const { pid } of connections) {
    await database.query('select pg_terminate_backend($1, 5000)', [pid]);
  }
}

/** How long something takes, in milliseconds. */
async function duration(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/**
 * What `getJob` rejects with where no connection can be had: it says to what, and tells no password.
 */
async function connectionFailure(config: DatabaseConfig, cause: string | RegExp) {
  const queue = await connectWith(config);
  const error = await rejection(queue.getJob(1), 'CONNECTION_FAILED', cause);
  const target = { ...database.config, ...config };
  for (const part of [target.host, String(target.port), target.database]) {
    expect(error.message).toContain(part);
  }
  expect(error.cause).toBeInstanceOf(Error);
  expect((error.cause as Error).message).toMatch(cause);
  const secrets = [database.config.password, 'wrong-secret'];
  for (const secret of secrets) {
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(secret);
  }
  return error;
}

describe('where it connects to', () => {
  const { host, port, user, password } = database.config;
  const environment = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database.name,
    PGAPPNAME: 'from the environment',
  };

  const addedBy = async (queue: JobQueue) => {
    const [row] = await database.query<{ id: string }>('select max(id) as id from job_queue');
    expect(await queue.addJob(job)).toBe(Number(row?.id ?? 0) + 1);
  };

  test('is said by a connection string', async () => {
    await addedBy(await connectWith({ connectionString: database.url }));
  });

  test('is said by fields', async () => {
    await addedBy(await connectWith(database.config));
  });

  test('is said by a connection string before the fields', async () => {
    const fields = { host: '127.0.0.2', port: 1, user: 'nobody', password: 'x', database: 'no' };
    await addedBy(await connectWith({ ...fields, connectionString: database.url }));
  });

  test.each([
    ['all of it', '{}', {}],
    ['what fields leave out', `{ database: '${database.name}' }`, { PGDATABASE: 'wrong' }],
    [
      'what a connection string leaves out',
      `{ connectionString: 'postgres:///${database.name}' }`,
      { PGDATABASE: 'wrong' },
    ],
  ])('is said by the environment: %s', async (_, databaseConfig, env) => {
    const script = await runScript(
      `import { initJobQueue } from 'pg-bg-job-queue';
       const queue = await initJobQueue({ databaseConfig: ${databaseConfig} });
       const id = await queue.addJob({ job_type: 'task', payload: 'from a child' });
       const [own] = (await queue.getPool().query('show application_name')).rows;
       console.log(JSON.stringify({ id, ...own }));
       await queue.close();`,
      { env: { ...environment, ...env } },
    );
    expect(script).toMatchObject({ code: 0, stderr: '' });
    const { id, application_name } = JSON.parse(script.stdout);
    expect(application_name).toBe('from the environment');
    const rows = await database.query('select payload from job_queue where id = $1', [id]);
    expect(rows).toEqual([{ payload: 'from a child' }]);
  });

  const isRemote = process.platform === 'win32' || process.env.PG_BG_JOB_QUEUE_TEST_SERVER;

  test.skipIf(isRemote)('may be the directory of a Unix socket', async () => {
    const [row] = await database.query<{ setting: string }>(
      `select setting from pg_settings where name = 'unix_socket_directories'`,
    );
    const directory = row?.setting.split(',')[0]?.trim() as string;
    const { queue, connections } = await watchedQueue({ host: directory });
    await addedBy(queue);
    expect(await connections('client_addr is null')).toHaveLength(1);
    const encoded = encodeURIComponent(directory);
    const userinfo = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
    const url = `postgres://${userinfo}@${encoded}:${port}/${database.name}`;
    await addedBy(await connectWith({ connectionString: url }));
  });

  test('is not reached before the first operation', async () => {
    await using server = await openServer();
    const queue = await connectWith({ ...database.config, ...server.address });
    queue.createProcessor({ task: async () => {} });
    await queue.close();
    expect(server.accepted).toBe(0);
  });
});

describe('where it cannot connect', () => {
  test('to a server that is down, the error comes quickly', async () => {
    const address = await freeAddress();
    const took = await duration(() =>
      connectionFailure({ ...database.config, ...address }, /refused/i),
    );
    expect(took).toBeLessThan(5_000);
  });

  test('to a host that does not exist, the error says so', async () => {
    await connectionFailure(
      { ...database.config, host: 'no-such-host.invalid' },
      /lookup|no such host/i,
    );
  });

  test('with a wrong password, the error has everything but that', async () => {
    const config = { ...database.config, password: 'wrong-secret' };
    const { sqlState } = await connectionFailure(config, /password authentication failed/);
    expect(sqlState).toBe('28P01');
    const connectionString = database.url.replace(database.config.password, 'wrong-secret');
    await connectionFailure({ connectionString }, /password authentication failed/);
  });

  test('to a database that does not exist, the error says so', async () => {
    const config = { ...database.config, database: 'nowhere' };
    const { sqlState } = await connectionFailure(config, /database "nowhere" does not exist/);
    expect(sqlState).toBe('3D000');
  });

  test('to a server that hangs up, the error says so', async () => {
    await using server = await openServer((socket) => socket.destroy());
    await connectionFailure({ ...database.config, ...server.address }, /./);
  });

  test('to what is no Postgres, the error says so', async () => {
    await using server = await openServer((socket) =>
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    await connectionFailure({ ...database.config, ...server.address }, /./);
  });

  test('to a server that accepts and never answers, the error comes in time', async () => {
    await using server = await openServer();
    const config = { ...database.config, ...server.address, connectionTimeoutMillis: 300 };
    const took = await duration(() => connectionFailure(config, /300 ms/));
    expect(took).toBeGreaterThan(290);
    expect(took).toBeLessThan(5_000);
  });

  test('to a server that never answers, waiting for a turn takes no longer', async () => {
    await using server = await openServer();
    const queue = await connectWith({
      ...database.config,
      ...server.address,
      max: 1,
      connectionTimeoutMillis: 600,
    });
    const first = rejection(queue.getJob(1), 'CONNECTION_FAILED');
    await delay(100);
    const took = await duration(() => rejection(queue.getJob(2), 'CONNECTION_FAILED'));
    expect(took).toBeLessThan(900);
    await first;
  });

  test('because all connections are in use, the error comes in time', async () => {
    const release = await lockTable();
    const { queue, connections } = await watchedQueue({ max: 1, connectionTimeoutMillis: 300 });
    const first = queue.addJob(job);
    await until(async () => (await connections(waiting)).length === 1);
    const took = await duration(async () => {
      await rejection(queue.addJob(job), 'CONNECTION_FAILED', /300 ms.*max/);
    });
    expect(took).toBeGreaterThan(290);
    expect(took).toBeLessThan(5_000);
    await release();
    expect(await first).toBeGreaterThan(0);
    expect(await queue.addJob(job)).toBeGreaterThan(0);
  });

  test('a processor reports it, and its batch rejects with it', async () => {
    const queue = await connectWith({ ...database.config, ...(await freeAddress()) });
    const onError = vi.fn();
    const processor = queue.createProcessor({}, { onError });
    const error = await rejection(processor.start(), 'CONNECTION_FAILED', /refused/i);
    expect(onError).toHaveBeenCalledOnce();
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ code: error.code, message: error.message });
  });
});

describe('a password function', () => {
  const { password } = database.config;

  test.each([
    ['gives the password', () => password],
    ['promises it', async () => password],
  ])('%s', async (_, given) => {
    const queue = await connectWith({ ...database.config, password: given });
    expect(await queue.addJob(job)).toBeGreaterThan(0);
    // node-postgres asks the same function.
    expect((await queue.getPool().query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test('is asked for each new connection, and for no other', async () => {
    const ask = vi.fn(async () => password);
    const { queue, connections } = await watchedQueue({ password: ask, max: 2 });
    expect(ask).not.toHaveBeenCalled();
    await queue.addJob(job);
    await queue.addJob(job);
    expect(ask).toHaveBeenCalledTimes(1);

    const release = await lockTable();
    const calls = [queue.addJob(job), queue.getJob(1)];
    await until(async () => (await connections(waiting)).length === 2);
    expect(ask).toHaveBeenCalledTimes(2);
    await release();
    await Promise.all(calls);
    await queue.addJob(job);
    expect(ask).toHaveBeenCalledTimes(2);
  });

  test('may give another one the next time', async () => {
    const passwords = ['expired', password];
    const queue = await connectWith({
      ...database.config,
      password: async () => passwords.shift() as string,
    });
    const { sqlState } = await rejection(queue.addJob(job), 'CONNECTION_FAILED');
    expect(sqlState).toBe('28P01');
    expect(await queue.addJob(job)).toBeGreaterThan(0);
  });

  test.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('wrong-secret');
      },
    ],
    ['rejects', () => Promise.reject(new Error('wrong-secret'))],
    ['gives no string', () => ({ value: 'wrong-secret' })],
    ['gives nothing', () => undefined],
  ])('that %s makes the call fail, and tells nothing', async (_, ask) => {
    await connectionFailure(
      { ...database.config, password: ask as () => string },
      /databaseConfig\.password/,
    );
  });

  test('that never answers is waited for as long as for a connection', async () => {
    const never = () => new Promise<string>(() => {});
    const config = { ...database.config, password: never, connectionTimeoutMillis: 300 };
    await connectionFailure(config, /300 ms/);
  });
});

describe('the settings of its connections', () => {
  test('application_name is what pg_stat_activity shows', async () => {
    const { queue, connections } = await watchedQueue();
    await queue.getAllJobs();
    expect(await connections()).toHaveLength(1);
  });

  test('application_name is the name of the package unless it is given', async () => {
    const queue = await connectWith(database.config);
    await queue.getAllJobs();
    const rows = await database.query(
      `select 1 from pg_stat_activity
       where datname = current_database() and application_name = 'pg-bg-job-queue'`,
    );
    expect(rows).not.toHaveLength(0);
  });

  test('statement_timeout ends a statement', async () => {
    const queue = await connectWith({ ...database.config, statement_timeout: 200 });
    await queue.addJob(job);
    const release = await lockTable();
    const { sqlState } = await rejection(queue.addJob(job), 'DATABASE_ERROR', /statement timeout/);
    expect(sqlState).toBe('57014');
    await release();
    expect(await queue.addJob(job)).toBeGreaterThan(0);
  });

  test('max is how many there are at the most', async () => {
    const { queue, connections } = await watchedQueue({ max: 3 });
    const release = await lockTable();
    const reads = Array.from({ length: 50 }, () => queue.getJob(1));
    const adds = Array.from({ length: 50 }, () => queue.addJob(job));
    await until(async () => (await connections(waiting)).length === 3);
    expect(await connections()).toHaveLength(3);
    await release();
    await Promise.all(reads);
    expect(new Set(await Promise.all(adds)).size).toBe(50);
    expect((await connections()).length).toBeLessThanOrEqual(3);
  });

  test('connections are opened as they are needed, and used again', async () => {
    const { queue, connections } = await watchedQueue();
    for (let call = 0; call < 10; call++) await queue.addJob(job);
    expect(await connections()).toHaveLength(1);
  });

  test('idleTimeoutMillis closes a connection that is not used', async () => {
    const { queue, connections } = await watchedQueue({ idleTimeoutMillis: 100 });
    await queue.addJob(job);
    await until(async () => (await connections()).length === 0);
    expect(await queue.addJob(job)).toBeGreaterThan(0);
  });

  test('maxLifetimeSeconds has a connection replaced', async () => {
    const { queue, connections } = await watchedQueue({ maxLifetimeSeconds: 1 });
    await queue.addJob(job);
    const [first] = await connections();
    await until(async () => (await connections(`backend_start < now() - interval '1.1 s'`))[0]);
    await queue.addJob(job);
    const [second] = await connections(`backend_start > now() - interval '1 s'`);
    expect(second?.pid).not.toBe(first?.pid);
    await until(async () => (await connections()).length === 1);
  });
});

describe('after connections are lost', () => {
  /** A queue with this many idle connections. */
  async function idleQueue(count: number) {
    const watched = await watchedQueue({ max: count });
    const release = await lockTable();
    const calls = Array.from({ length: count }, () => watched.queue.getJob(1));
    await until(async () => (await watched.connections(waiting)).length === count);
    await release();
    await Promise.all(calls);
    return watched;
  }

  test.each([1, 3])('that were idle, at most one call fails: %i of them', async (count) => {
    const { queue, connections } = await idleQueue(count);
    await terminate(await connections());
    const failures: unknown[] = [];
    for (let call = 0; call < 2 * count + 1; call++) {
      await queue.addJob(job).catch((error) => failures.push(error));
    }
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(JobQueueError);
      expect(failure).toMatchObject({ code: 'CONNECTION_FAILED' });
    }
    expect(failures.length).toBeLessThanOrEqual(1);
  });

  test('during a call, that call fails and the next does not', async () => {
    const { queue, connections } = await watchedQueue({ max: 1 });
    const release = await lockTable();
    const call = rejection(queue.addJob(job), 'CONNECTION_FAILED', /terminating connection/);
    await until(async () => (await connections(waiting)).length === 1);
    await terminate(await connections());
    expect((await call).sqlState).toBe('57P01');
    await release();
    expect(await queue.addJob(job)).toBeGreaterThan(0);
  });

  test('because the network broke, it connects anew', async () => {
    await using proxy = await openProxy(database.config);
    const { queue, connections } = await watchedQueue({ ...proxy.address, max: 1 });
    await queue.addJob(job);
    const release = await lockTable();
    const call = rejection(queue.addJob(job), 'CONNECTION_FAILED', /connection to Postgres/);
    await until(async () => (await connections(waiting)).length === 1);
    proxy.cut();
    const error = await call;
    await release();
    expect(await queue.addJob(job)).toBeGreaterThan(0);
    expect(proxy.accepted).toBe(2);
    expect(error.cause).toBeInstanceOf(Error);
  });
});

describe('getPool', () => {
  test('gives a node-postgres pool on the same settings, always the same one', async () => {
    const { queue, connections } = await watchedQueue({ max: 4, statement_timeout: 4321 });
    const pool = queue.getPool();
    expect(queue.getPool()).toBe(pool);
    expect(pool.options.max).toBe(4);
    const { rows } = await pool.query(
      `select current_database() as name, current_setting('statement_timeout') as timeout`,
    );
    expect(rows).toEqual([{ name: database.name, timeout: '4321ms' }]);
    expect(await connections()).toHaveLength(1);
    const id = await queue.addJob(pool, job);
    expect(await queue.getJob(id)).toEqual(await queue.getJob(pool, id));
  });

  test('gives a pool that outlives a lost connection', async () => {
    const { queue, connections } = await watchedQueue();
    const pool = queue.getPool();
    await pool.query('select 1');
    await terminate(await connections());
    await until(() => pool.totalCount === 0);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});

describe('close', () => {
  const calls: [keyof JobQueue & string, ...unknown[]][] = [
    ['addJob', job],
    ['getJob', 1],
    ['getJobsByStatus', 'pending'],
    ['getAllJobs'],
    ['retryJob', 1],
    ['cancelJob', 1],
    ['cancelAllUpcomingJobs'],
    ['reclaimStuckJobs'],
    ['cleanupOldJobs'],
  ];

  test('closes all connections, those of getPool too', async () => {
    const { queue, connections } = await watchedQueue();
    await Promise.all([queue.getAllJobs(), queue.addJob(job), queue.getPool().query('select 1')]);
    expect(await connections()).not.toHaveLength(0);
    await queue.close();
    await until(async () => (await connections()).length === 0, { what: 'they are closed' });
  });

  test('can be called twice, and at the same time, and before anything else', async () => {
    const queue = await openQueue(database);
    await Promise.all([queue.close(), queue.close()]);
    expect(await queue.close()).toBeUndefined();
  });

  test('does not mind that the pool of getPool was ended before', async () => {
    const queue = await openQueue(database);
    await queue.getPool().end();
    expect(await queue.close()).toBeUndefined();
  });

  test('happens at the end of the scope of `await using`', async () => {
    const { queue, connections } = await watchedQueue();
    {
      await using scoped = queue;
      await scoped.getAllJobs();
    }
    await rejection(queue.getAllJobs(), 'CLOSED');
    await until(async () => (await connections()).length === 0);
  });

  test.each(calls)('makes later calls reject: %s', async (method, ...args) => {
    const queue = await openQueue(database);
    await queue.close();
    const call = (queue[method] as (...args: unknown[]) => Promise<unknown>).bind(queue);
    await rejection(call(...args), 'CLOSED', `${method}: the job queue is closed`);
    await rejection(call(database.pool, ...args), 'CLOSED');
  });

  test('makes later calls throw that promise nothing', async () => {
    const queue = await openQueue(database);
    const processor = queue.createProcessor({});
    await queue.close();
    const closed = expect.objectContaining({ code: 'CLOSED' });
    expect(() => queue.createProcessor({})).toThrow(closed);
    expect(() => queue.getPool()).toThrow(closed);
    await rejection(processor.start(), 'CLOSED');
  });

  test('lets a call end that is under way', async () => {
    const { queue, connections } = await watchedQueue();
    const release = await lockTable();
    const call = queue.addJob(job);
    await until(async () => (await connections(waiting)).length === 1);
    const closed = queue.close();
    await release();
    const id = await call;
    await closed;
    expect(await database.query('select 1 from job_queue where id = $1', [id])).toHaveLength(1);
    await until(async () => (await connections()).length === 0);
  });

  test('lets calls end that were made before, also those that wait for a connection', async () => {
    const queue = await openQueue(database, { databaseConfig: { max: 1 } });
    const calls = Promise.allSettled(Array.from({ length: 20 }, () => queue.addJob(job)));
    await queue.close();
    expect((await calls).filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  test('lets running jobs end and writes how they did', async () => {
    await database.query('truncate job_queue');
    await using other = await openQueue(database);
    const { queue, connections } = await watchedQueue();
    const id = await other.addJob(job);
    const run = await beginDueJobs(queue);
    const closed = queue.close();
    await rejection(queue.getAllJobs(), 'CLOSED');
    expect(await run.finish()).toBe(1);
    await closed;
    expect(await other.getJob(id)).toMatchObject({ status: 'completed' });
    await until(async () => (await connections()).length === 0);
  });
});

describe('the log of a verbose queue', () => {
  const methods = ['log', 'info', 'warn', 'error', 'debug'] as const;
  afterEach(() => vi.restoreAllMocks());

  const listen = () => {
    const spies = methods.map((method) => vi.spyOn(console, method).mockImplementation(() => {}));
    return () => spies.flatMap((spy) => spy.mock.calls.map((line) => inspect(line, { depth: 10 })));
  };

  async function useEverything(verbose: boolean) {
    await using queue = await openQueue(database, { verbose });
    const payload = { to: 'marker-payload' };
    const ids = [
      await queue.addJob({ job_type: 'task', payload }),
      await queue.addJob({ job_type: 'fails', payload }),
      await queue.addJob({ job_type: 'unknown', payload }),
    ];
    await rejection(queue.addJob({ job_type: 'task', payload: 'marker\0' }), 'INVALID_PAYLOAD');
    const handlers = {
      task: async () => {},
      // Why a job failed is told; a payload would be told by its handler alone.
      fails: () => Promise.reject(new Error('no luck')),
    };
    const onJobFailed = () => {};
    const options = { workerId: 'worker-7', verbose, onJobFailed, unknownTypes: 'fail' as const };
    await queue.createProcessor(handlers, options).start();
    await queue.retryJob(ids[1] as number);
    await queue.cancelJob(ids[1] as number);
    await queue.cancelAllUpcomingJobs();
    await queue.reclaimStuckJobs();
    await queue.cleanupOldJobs();
    return ids;
  }

  test('tells ids and types, and neither payloads nor secrets', async () => {
    await database.query('truncate job_queue');
    const lines = listen();
    const ids = await useEverything(true);
    const log = lines().join('\n');
    for (const id of ids) expect(log).toMatch(new RegExp(`\\bjob ${id}\\b`));
    for (const word of ['task', 'fails', 'worker-7', 'completed', 'failed', 'no luck']) {
      expect(log).toContain(word);
    }
    for (const secret of ['marker', database.config.password, database.url, 'postgres://']) {
      expect(log).not.toContain(secret);
    }
  });

  test('is empty unless it is asked for', async () => {
    await database.query('truncate job_queue');
    const lines = listen();
    await useEverything(false);
    expect(lines()).toEqual([]);
  });
});
