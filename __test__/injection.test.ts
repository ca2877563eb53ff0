import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type DatabaseConfig, initJobQueue } from '../index.js';
import { cli, cliOutput } from './helpers/cli.js';
import { useDatabase } from './helpers/database.js';
import { openQueue, rejection, useQueue } from './helpers/queue.js';
import { describeSchema } from './helpers/schema.js';

const database = useDatabase();
const queue = useQueue(database);

/** Text that does harm if anything takes it for more than text: SQL, a pattern, a path, a format. */
const attempts = [
  `'; drop table canary; --`,
  `"; drop table canary; --`,
  `\\'; drop table canary; --`,
  `$$; drop table canary; $$`,
  `$1`,
  `{jobs}`,
  `%s %I %L %n %%`,
  `1; drop table canary`,
  `' or '1'='1`,
  `') returning (select pg_terminate_backend(pg_backend_pid())) --`,
  `pending' or 'a'='a`,
  `*/ drop table canary /*`,
  `E'\\x27; drop table canary'`,
  `__proto__`,
  `constructor`,
  `\u02bc; drop table canary; --`,
  `\uff07; drop table canary; --`,
  `../../etc/passwd`,
  `null`,
  `\r\n\t\u001b[31m`,
];

let schema: string;
beforeAll(async () => {
  await database.query('create table canary (sings bool); insert into canary values (true)');
  schema = await describeSchema(database.pool);
});
/** Nothing was dropped, made or changed but jobs. */
afterEach(async () => {
  expect(await database.query('select * from canary')).toEqual([{ sings: true }]);
  expect(await describeSchema(database.pool)).toBe(schema);
});

describe.each(attempts)('%j', (text) => {
  test('is a job type, a payload and a worker id like any other', async () => {
    await database.query('truncate job_queue');
    const payload = JSON.parse(JSON.stringify({ [text]: text, list: [text, { [text]: [text] }] }));
    const job = { job_type: text, payload };
    const through = [database.pool, undefined] as const;
    const ids: number[] = [];
    for (const db of through) ids.push(await queue.addJob(job, { db }));
    ids.push(...(await queue.addJobs([job, job])));
    for (const id of ids) {
      expect(await queue.getJob(id)).toMatchObject(job);
      expect(await queue.getJob(database.pool, id)).toMatchObject(job);
    }
    const other = await queue.addJob({ job_type: 'other', payload: null });

    const ran: unknown[] = [];
    const handlers = {
      [text]: async (given: unknown) => {
        ran.push(given);
        throw new Error(text);
      },
      [`${text}x`]: async () => {},
    };
    const options = { workerId: text, jobType: [text, `${text}x`] };
    // A handler cannot be called `__proto__` in a literal, where that means something else.
    Object.defineProperty(handlers, text, { ...Object.getOwnPropertyDescriptor(handlers, text) });
    if (Object.hasOwn(handlers, text)) {
      expect(await queue.createProcessor(handlers, options).start()).toBe(4);
      expect(ran).toEqual([payload, payload, payload, payload]);
      const [first = 0] = ids;
      const row = await queue.getJob(first);
      expect(row).toMatchObject({ status: 'failed', locked_by: text });
      expect(row?.error_history[0]).toMatchObject({ message: text });
    }
    for (const id of ids) await queue.retryJob(id);
    for (const client of [[], [database.pool]] as const) {
      const calls = queue as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
      expect(await calls.cancelAllUpcomingJobs?.(...client, { job_type: `${text}x` })).toBe(0);
    }
    expect(await queue.cancelAllUpcomingJobs({ job_type: text })).toBe(4);
    expect(await queue.getJob(other)).toMatchObject({ status: 'pending' });
  });

  test('is no id, no status, no number and no time', async () => {
    const any = text as never;
    for (const call of [
      queue.getJob(any),
      queue.retryJob(any),
      queue.cancelJob(any),
      queue.getJobsByStatus(any),
      queue.getJobsByStatus('pending', any),
      queue.getJobsByStatus('pending', 1, any),
      queue.getAllJobs(any, any),
      queue.reclaimStuckJobs(any),
      queue.cleanupOldJobs(any),
      queue.cancelAllUpcomingJobs({ priority: any }),
      queue.cancelAllUpcomingJobs({ run_at: any }),
      queue.addJob({ job_type: 'task', payload: 1, priority: any }),
      queue.addJob({ job_type: 'task', payload: 1, max_attempts: any }),
      queue.addJob({ job_type: 'task', payload: 1, run_at: any }),
      queue.getJob({ valueOf: () => text, toString: () => text } as never),
      queue.getJob([text] as never),
    ]) {
      await rejection(call, 'INVALID_ARGUMENT');
    }
  });

  test('is an application name like any other', async () => {
    await using named = await openQueue(database, { databaseConfig: { application_name: text } });
    await named.getAllJobs();
    const names = await database.query<{ name: string }>(
      `select application_name as name from pg_stat_activity where datname = current_database()`,
    );
    // Postgres keeps printable ASCII of it, 63 bytes.
    const shown = [...Buffer.from(text)]
      .map((byte) =>
        byte < 32 || byte > 126
          ? `\\x${byte.toString(16).padStart(2, '0')}`
          : String.fromCharCode(byte),
      )
      .join('');
    expect(names.map(({ name }) => name)).toContain(shown.slice(0, 63));
  });

  test('is a schema that does not exist', async () => {
    await using elsewhere = await openQueue(database, { schema: text });
    await rejection(elsewhere.addJob({ job_type: 'task', payload: 1 }), 'NOT_MIGRATED');
    await rejection(elsewhere.getAllJobs(database.pool), 'NOT_MIGRATED');
  });

  test('is a role, a password and a database that Postgres refuses', async () => {
    const configs: [DatabaseConfig, RegExp][] = [
      [{ user: text }, /28/],
      [{ password: text }, /28/],
      [{ database: text }, /3D000/],
    ];
    for (const [config, sqlState] of configs) {
      await using refused = await openQueue(database, { databaseConfig: config });
      const error = await rejection(refused.getJob(1), 'CONNECTION_FAILED');
      // Control characters are in neither.
      if (!/SASLprep/.test(error.message)) expect(error.sqlState).toMatch(sqlState);
    }
  });
});

describe('options for the server', () => {
  test.each([
    '-c search_path=canary&host=evil.invalid&port=1',
    '-c application_name=a\'b"c%00?user=nobody#fragment',
    '-c application_name=ünï%2F+x',
  ])('%j reach it as they are, and change nothing else of the connection', async (options) => {
    const config = { ...database.config, options };
    await using configured = await initJobQueue({ databaseConfig: config });
    expect(await configured.addJob({ job_type: 'task', payload: 1 })).toBeGreaterThan(0);
    const name = /application_name=(.*)/.exec(options)?.[1];
    if (name === undefined) return;
    const pool = configured.getPool();
    const { rows } = await pool.query(`select current_setting('application_name') as name`);
    expect(rows[0].name).not.toBe('');
  });

  test('that Postgres does not know are refused by it', async () => {
    const config = { ...database.config, options: '-c "; drop table canary; --"=1' };
    await using configured = await initJobQueue({ databaseConfig: config });
    await rejection(configured.getJob(1), 'CONNECTION_FAILED');
  });
});

describe('the command line', () => {
  const schemas = [`'; drop table canary; --`, `"; drop table canary; --`, `a$1{jobs}%I\\`];

  test.each(schemas)('--schema %j is a name', async (name) => {
    onTestFinished(async () => {
      await database.query(`drop schema if exists "${name.replaceAll('"', '""')}" cascade`);
    });
    await cliOutput(['migrate', `--schema=${name}`], { url: database.url });
    const status = await cliOutput(['migrate', 'status', `--schema=${name}`], {
      url: database.url,
    });
    expect(status).toMatch(/(\d+) of \1 migrations applied/);
    await cliOutput(['migrate', 'down', '1000', `--schema=${name}`], { url: database.url });
    const made = 'select from pg_namespace where nspname = $1';
    expect(await database.query(made, [name])).toHaveLength(1);
  });

  test.each(schemas)('--print-sql of --schema %j is SQL that makes that schema', async (name) => {
    onTestFinished(async () => {
      await database.query(`drop schema if exists "${name.replaceAll('"', '""')}" cascade`);
    });
    await database.query(await cliOutput(['migrate', '--print-sql', `--schema=${name}`]));
    await using printed = await openQueue(database, { schema: name });
    expect(await printed.addJob({ job_type: 'task', payload: 1 })).toBe(1);
  });

  test('--database is a connection string and nothing else', async () => {
    for (const attempt of [`${database.url}'; drop table canary`, `$(id)`, '`id`', '; id', '|id']) {
      const { code, stdout } = await cli(['migrate', 'status', '--database', attempt]);
      expect(code).not.toBe(0);
      expect(stdout).toBe('');
    }
  });
});

describe('values that are sent as literals, as behind a pooler', () => {
  test.each([...attempts, 'a$1"b', '{schema}"', "it's\\"])('%j are text', async (text) => {
    await database.query('truncate job_queue');
    await using pooled = await openQueue(database, { pooler: 'transaction' });
    const job = { job_type: text, payload: JSON.parse(JSON.stringify({ [text]: [text] })) };
    const id = await pooled.addJob(job);
    expect(await pooled.getJob(id)).toMatchObject(job);
    const handlers = Object.defineProperty({ x: async () => {} }, text, {
      enumerable: true,
      value: async () => Promise.reject(new Error(text)),
    });
    const processor = pooled.createProcessor(handlers, { workerId: text, jobType: [text, 'x'] });
    expect(await processor.start()).toBe(1);
    const row = await pooled.getJob(id);
    expect(row).toMatchObject({ status: 'failed', locked_by: text });
    expect(row?.error_history[0]).toMatchObject({ message: text });
    expect(await pooled.cancelAllUpcomingJobs({ job_type: `${text}x` })).toBe(0);
  });

  test.each(['a$1"b', '{schema}"; drop table canary; --', "$1'$2{jobs}\\"])(
    'are not set into a schema of the name %j',
    async (schema) => {
      onTestFinished(async () => {
        await database.query(`drop schema "${schema.replaceAll('"', '""')}" cascade`);
      });
      await cliOutput(['migrate', `--schema=${schema}`], { url: database.url });
      await using pooled = await openQueue(database, { pooler: 'transaction', schema });
      const job = { job_type: 'task', payload: '"; drop table canary; --' };
      const id = await pooled.addJob(job);
      expect(await pooled.getJob(id)).toMatchObject(job);
      expect(await pooled.createProcessor({ task: async () => {} }).start()).toBe(1);
    },
  );
});
