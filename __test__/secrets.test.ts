import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { currentJob, type DatabaseConfig, initJobQueue, type JobQueue } from '../index.js';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { runScript } from './helpers/child.js';
import { cli, cliOutput } from './helpers/cli.js';
import { createDatabase, type TestDatabase } from './helpers/database.js';
import { Journal } from './helpers/jobs.js';
import { freeAddress, openServer } from './helpers/network.js';
import { everythingIn, PASSWORD_MARKER, PAYLOAD_MARKER } from './helpers/secrets.js';
import { until } from './helpers/until.js';

/** A server of this file's own, whose log can be read and whose roles have marked passwords. */
let server: EmbeddedPostgres;
let database: TestDatabase;
let config: DatabaseConfig & { password: string };

const PASSWORD = `${PASSWORD_MARKER}:%41/@?&'"\\`;
const payload = { to: PAYLOAD_MARKER, [PAYLOAD_MARKER]: [PAYLOAD_MARKER] };
const job = { job_type: 'task', payload };

beforeAll(async () => {
  server = await startPostgres({ settings: { track_activity_query_size: '65536' } });
  database = await createDatabase({ migrated: false, serverUrl: server.url() });
  await cliOutput(['migrate'], { url: database.url });
  await database.query(`create role marked superuser login password 'x'`);
  await database.query(
    `do $$ begin execute format('alter role marked password %L', '${PASSWORD.replaceAll("'", "''")}'); end $$`,
  );
  config = { ...database.config, user: 'marked', password: PASSWORD };
});
afterAll(() => server.stop());

/** Notes all that this process prints, and keeps it from being printed. */
function listen(): Journal<string> {
  const printed = new Journal<string>();
  onTestFinished(() => void vi.restoreAllMocks());
  for (const method of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const) {
    vi.spyOn(console, method).mockImplementation((...args) => {
      printed.note(args.map((arg) => everythingIn(arg)).join(' '));
    });
  }
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
    printed.note(String(warning));
  });
  return printed;
}

function expectNoMarker(text: string, what: string): void {
  // The failure must not repeat the secret, only say where it is.
  for (const marker of [PAYLOAD_MARKER, PASSWORD_MARKER]) {
    const at = text.indexOf(marker);
    if (at >= 0) expect.fail(`${what} tells a secret: ${text.slice(Math.max(0, at - 200), at)}`);
  }
}

async function openQueue(databaseConfig: DatabaseConfig = {}): Promise<JobQueue> {
  const queue = await initJobQueue({
    databaseConfig: { ...config, ...databaseConfig },
    verbose: true,
  });
  onTestFinished(() => queue.close());
  return queue;
}

/** Makes the insert of a job fail, in the way of a trigger of the user's, until the test is over. */
async function refuseInserts(body: string): Promise<void> {
  const name = `refuse_${randomUUID().slice(0, 8)}`;
  await database.query(
    `create function ${name}() returns trigger language plpgsql as $$ begin ${body} return new; end $$`,
  );
  await database.query(
    `create trigger ${name} before insert or update on job_queue for each row execute function ${name}()`,
  );
  onTestFinished(async () => void (await database.query(`drop function ${name} cascade`)));
}

async function alterTable(add: string, drop: string): Promise<void> {
  await database.query(`alter table job_queue ${add}`);
  onTestFinished(async () => void (await database.query(`alter table job_queue ${drop}`)));
}

type Provoke = () => Promise<unknown>;

/** Each fails, and its error is searched. */
const faults: Record<string, Provoke> = {
  'a wrong password': async () =>
    (await openQueue({ password: `${PASSWORD_MARKER} wrong` })).addJob(job),
  'a wrong password in a connection string': async () => {
    const password = encodeURIComponent(`${PASSWORD_MARKER} wrong`);
    const { host, port, database: name } = database.config;
    const connectionString = `postgresql://marked:${password}@${host}:${port}/${name}`;
    const queue = await initJobQueue({ databaseConfig: { connectionString }, verbose: true });
    onTestFinished(() => queue.close());
    return queue.addJob(job);
  },
  'a password that ends a connection string early': () =>
    initJobQueue({
      databaseConfig: { connectionString: `postgresql://me:a#${PASSWORD_MARKER}@host/app` },
    }),
  'a password as a parameter of a connection string': async () => {
    const { host, port, database: name } = database.config;
    const connectionString = `postgresql://${host}:${port}/${name}?user=marked&password=${PASSWORD_MARKER}`;
    const queue = await initJobQueue({ databaseConfig: { connectionString } });
    onTestFinished(() => queue.close());
    return queue.getJob(1);
  },
  'a password in the wrong place': () =>
    initJobQueue({ databaseConfig: { ...config, port: PASSWORD_MARKER as unknown as number } }),
  'a password that has a character of which SASLprep knows nothing': async () => {
    const error = await (await openQueue({ password: 'x😀' })).addJob(job).catch((e) => e);
    expect(everythingIn(error)).not.toContain('😀');
    throw error;
  },
  'a password function that throws': async () =>
    (
      await openQueue({
        password: () => {
          throw new Error(PASSWORD_MARKER);
        },
      })
    ).addJob(job),
  'a host that does not exist': async () =>
    (await openQueue({ host: 'no-such-host.invalid' })).addJob(job),
  'a server that is down': async () => (await openQueue(await freeAddress())).addJob(job),
  'what is no Postgres and repeats what it hears': async () => {
    await using echo = await openServer((socket) => socket.pipe(socket));
    return await (await openQueue(echo.address)).addJob(job);
  },
  'a constraint that the payload violates': async () => {
    await alterTable(
      `add constraint no check (payload->>'to' is null) not valid`,
      'drop constraint no',
    );
    return (await openQueue()).addJob(job);
  },
  'a unique index on the payload': async () => {
    await database.query('truncate job_queue');
    await database.query(`create unique index once on job_queue ((payload->>'to'))`);
    onTestFinished(async () => void (await database.query('drop index once')));
    const queue = await openQueue();
    await queue.addJob(job);
    return queue.addJobs([job]);
  },
  'a column of the user’s that must not be null': async () => {
    await database.query('truncate job_queue');
    await alterTable('add column tenant text not null', 'drop column tenant');
    return (await openQueue()).addJob(job);
  },
  'a trigger that casts the payload': async () => {
    await refuseInserts(`perform (new.payload->>'to')::int;`);
    return (await openQueue()).addJob(job);
  },
  'a trigger that quotes the payload': async () => {
    await refuseInserts(`raise exception 'no: %', new.payload;`);
    return (await openQueue()).addJob(job);
  },
  'a trigger that quotes the payload as if it were a constraint': async () => {
    await refuseInserts(
      `raise exception 'no: %', new.payload using errcode = 'check_violation', detail = new.payload;`,
    );
    return (await openQueue()).addJob(job);
  },
  'a trigger that builds SQL of the payload': async () => {
    await refuseInserts(`execute format('select %L::int', new.payload->>'to');`);
    return (await openQueue()).addJob(job);
  },
  'a payload that is no JSON': async () =>
    (await openQueue()).addJob({ ...job, payload: { ...payload, total: 1n } }),
  'a payload that Postgres cannot store': async () =>
    (await openQueue()).addJob({ ...job, payload: `${PAYLOAD_MARKER}\0` }),
  'a payload whose toJSON throws': async () =>
    (await openQueue()).addJob({
      ...job,
      payload: {
        toJSON() {
          throw new Error('no');
        },
        ...payload,
      },
    }),
  'a payload that is too deep': async () => {
    let deep: unknown = PAYLOAD_MARKER;
    for (let depth = 0; depth < 100_000; depth++) deep = [deep];
    return (await openQueue()).addJob({ ...job, payload: deep });
  },
  'a payload that is too large for an index of the user’s': async () => {
    await database.query('truncate job_queue');
    await database.query(`create index large on job_queue ((payload->>'text'))`);
    onTestFinished(async () => void (await database.query('drop index large')));
    const noise = Array.from({ length: 500 }, () => randomUUID()).join('');
    return (await openQueue()).addJob({ ...job, payload: { text: PAYLOAD_MARKER + noise } });
  },
  'a job type that is too long': async () =>
    (await openQueue()).addJob({ ...job, job_type: PAYLOAD_MARKER.repeat(20) }),
  'arguments in the wrong places': async () =>
    (await openQueue()).addJob(payload as unknown as typeof job),
  'a filter that is none': async () =>
    (await openQueue()).cancelAllUpcomingJobs({ priority: PAYLOAD_MARKER as unknown as number }),
  'a statement that takes too long': async () => {
    const client = await database.pool.connect();
    await client.query('begin; lock table job_queue in access exclusive mode');
    try {
      return await (await openQueue({ statement_timeout: 50 })).addJob(job);
    } finally {
      await client.query('rollback');
      client.release();
    }
  },
  'a read-only server': async () =>
    (await openQueue({ options: '-c default_transaction_read_only=on' })).addJob(job),
  'a connection that is cut': async () => {
    const application_name = `cut ${randomUUID()}`;
    const client = await database.pool.connect();
    await client.query('begin; lock table job_queue in access exclusive mode');
    const adding = (await openQueue({ application_name })).addJob(job);
    adding.catch(() => {});
    await until(
      async () =>
        (
          await database.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = $1 and wait_event_type = 'Lock'`,
            [application_name],
          )
        ).length,
    );
    await client.query('rollback');
    client.release();
    return adding;
  },
  'a client of the user’s that is refused': async () => {
    await refuseInserts(`raise exception 'no: %', new.payload;`);
    return (await openQueue()).addJob(database.pool, job);
  },
  'a client of the user’s that the payload violates a constraint of': async () => {
    await alterTable(
      `add constraint no check (payload->>'to' is null) not valid`,
      'drop constraint no',
    );
    return (await openQueue()).addJob(database.pool, job);
  },
  'a client of the user’s that cannot connect': async () => {
    const pool = new Pool({ ...config, password: `${PASSWORD_MARKER} wrong` });
    onTestFinished(() => pool.end());
    return (await openQueue()).addJob(pool, job);
  },
};

describe.each(Object.entries(faults))('of %s', (_, provoke) => {
  test('nothing that is printed, thrown or shown by Postgres tells a secret', async () => {
    const printed = listen();
    const error = await provoke().then(
      () => expect.fail('it does not fail'),
      (thrown: unknown) => thrown,
    );
    expect((error as Error).message).not.toBe('it does not fail');
    expectNoMarker(everythingIn(error), 'the error');
    for (const line of printed.notes) expectNoMarker(line, 'a line');
    const activity = await database.query('select query, application_name from pg_stat_activity');
    for (const row of activity) {
      // What the test itself does by hand is not the package's.
      if (row.query.includes('refuse_')) continue;
      expectNoMarker(inspect(row), 'pg_stat_activity');
    }
  });
});

test('handlers that fail tell what is noted on their errors to nobody, and what these say only as theirs', async () => {
  await database.query('truncate job_queue');
  const printed = listen();
  const queue = await openQueue();
  const id = await queue.addJob(job);
  await queue.addJob({ ...job, job_type: 'unknown' });
  const errors: unknown[] = [];
  const processor = queue.createProcessor(
    {
      task: async (given: typeof payload) => {
        await database.query(`update job_queue set status = 'cancelled' where id = $1`, [
          currentJob().id,
        ]);
        // As libraries of databases do.
        const cause = Object.assign(new Error('refused'), { params: [given], detail: given });
        throw Object.assign(new Error('failed', { cause }), { config: { data: given } });
      },
    },
    { onError: (error) => errors.push(error) },
  );
  await processor.start();
  expect(errors).not.toEqual([]);
  for (const error of errors) expectNoMarker(everythingIn(error), 'onError');
  for (const line of printed.notes) expectNoMarker(line, 'a line');
  expect(printed.notes.join('\n')).toContain(`job ${id} (task) failed`);
});

test('a processor whose outcomes a trigger refuses tells no secret', async () => {
  await database.query('truncate job_queue');
  const printed = listen();
  const queue = await openQueue();
  await queue.addJob(job);
  await refuseInserts(
    `if new.status = 'completed' then raise exception 'no: %', new.payload; end if;`,
  );
  const errors = new Journal<unknown>();
  const processor = queue.createProcessor(
    { task: async () => {} },
    { verbose: true, onError: (error) => errors.note(error) },
  );
  processor.startInBackground();
  await errors.reaches(1);
  await processor.stopAndDrain(0);
  for (const error of errors.notes) expectNoMarker(everythingIn(error), 'onError');
  for (const line of printed.notes) expectNoMarker(line, 'a line');
});

test('a queue, a processor and a pool that are printed tell no secret', async () => {
  listen();
  const queue = await openQueue();
  await queue.addJob(job);
  expectNoMarker(JSON.stringify(queue), 'the queue as JSON');
  await queue.getPool().query('select 1');
  const processor = queue.createProcessor({ task: async () => {} });
  for (const [name, object] of Object.entries({ queue, processor, pool: queue.getPool() })) {
    expectNoMarker(inspect(object, { depth: 10 }), `the ${name}`);
    expectNoMarker(inspect({ object }, { depth: 4 }), `the ${name}`);
  }
});

test('statements bind the payload: neither pg_stat_activity nor the log of statements has it', async () => {
  listen();
  await database.query(`alter system set log_statement = 'all'`);
  await database.query(`alter system set log_parameter_max_length = 0`);
  await database.query('select pg_reload_conf()');
  onTestFinished(async () => {
    await database.query('alter system reset log_statement');
    await database.query('alter system reset log_parameter_max_length');
    await database.query('select pg_reload_conf()');
  });
  await database.query('truncate job_queue');
  const application_name = `watched ${randomUUID()}`;
  const queue = await openQueue({ application_name });
  const isLogged = async () => {
    await queue.getAllJobs();
    return (await readFile(server.logFile, 'utf8')).includes('json_build_object');
  };
  await until(isLogged, { what: 'statements are logged' });
  const start = (await readFile(server.logFile, 'utf8')).length;
  const id = await queue.addJob(job);
  await queue.addJobs([job, job]);
  await queue.getJob(id);
  await queue.createProcessor({ task: () => Promise.reject(new Error(PAYLOAD_MARKER)) }).start();
  await queue.retryJob(id);
  await queue.cancelAllUpcomingJobs({ job_type: 'task' });
  const shown = await database.query(
    'select query, application_name from pg_stat_activity where application_name = $1',
    [application_name],
  );
  expect(shown).not.toEqual([]);
  expectNoMarker(inspect(shown), 'pg_stat_activity');
  const log = (await readFile(server.logFile, 'utf8')).slice(start);
  expect(log).toContain('insert into "public"."job_queue"');
  expectNoMarker(log, 'the log of the server');
});

test('the CLI tells no password, whatever goes wrong', async () => {
  const { host, port, database: name } = database.config;
  const password = encodeURIComponent(`${PASSWORD_MARKER} wrong`);
  const url = `postgresql://marked:${password}@${host}:${port}/${name}`;
  const file = join(server.dataDirectory, 'env');
  await writeFile(file, `PG_BG_JOB_QUEUE_DATABASE='${url}`);
  const calls = [
    ['migrate', '--database', url],
    ['migrate', 'status', '--database', url],
    ['migrate', 'down', url],
    [url],
    ['migrate', '--databse', url],
    ['migrate', `--schema=${PASSWORD_MARKER.repeat(5)}`, '--database', url],
    ['migrate', '--database', url.replace('postgresql', 'mysql')],
    ['migrate', '--database', `${PASSWORD_MARKER}@host`],
    ['migrate', '--env-file', file],
  ];
  for (const args of calls) {
    const { code, stdout, stderr } = await cli(args);
    expect(code).not.toBe(0);
    expectNoMarker(stdout + stderr, `the CLI with ${args.length} arguments`);
  }
});

test('an uncaught error of a script prints no secret', async () => {
  const url = database.url.replace(database.config.password, `${PASSWORD_MARKER}`);
  const script = await runScript(
    `import { initJobQueue } from 'pg-bg-job-queue';
    const connectionString = process.env.DATABASE_URL;
    const queue = await initJobQueue({ databaseConfig: { connectionString }, verbose: true });
    console.log(queue);
    const payload = { to: process.env.MARKER };
    const processor = queue.createProcessor({ task: async () => {} }, { verbose: true });
    await processor.start().catch(console.error);
    await queue.addJob({ job_type: 'task', payload });`,
    { env: { DATABASE_URL: url, MARKER: PAYLOAD_MARKER } },
  );
  expect(script.code).toBe(1);
  expect(script.stderr).toContain('password authentication failed');
  expectNoMarker(script.stdout + script.stderr, 'the script');
});
