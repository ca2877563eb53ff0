import { randomUUID } from 'node:crypto';
import { Pool } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { initJobQueue, type JobQueue } from '../index.js';
import { cli, cliOutput, migrations } from './helpers/cli.js';
import { administer, createDatabase, type TestDatabase, withDatabase } from './helpers/database.js';
import { GIVEN_COLUMNS } from './helpers/given-columns.js';
import { rejection } from './helpers/queue.js';

const SCHEMA = 'jobs';

/** The columns that are the engine's, and a value of each. */
const engines = {
  run_no: '9007199254740991',
  attempts: '2',
  status: "'processing'",
  locked_at: 'now()',
  locked_by: "'somebody'",
  lease_expires_at: "now() + interval '1 year'",
  claim_token: '1',
  refusals: '1',
  next_attempt_at: 'now()',
  cancel_requested_at: 'now()',
  error_history: "'[]'",
  id: '-1',
};

/** What docs/guarantees.md lists, and nothing else. */
const USER = {
  'usage on schema': `usage on schema ${SCHEMA}`,
  select: `select on ${SCHEMA}.job_queue`,
  insert: `insert on ${SCHEMA}.job_queue`,
  update: `update on ${SCHEMA}.job_queue`,
  delete: `delete on ${SCHEMA}.job_queue`,
  'usage on sequence': `usage on sequence ${SCHEMA}.job_queue_id_seq`,
};
const PRODUCER = {
  'usage on schema': USER['usage on schema'],
  insert: `insert (${GIVEN_COLUMNS}) on ${SCHEMA}.job_queue`,
  'select on id': `select (id) on ${SCHEMA}.job_queue`,
  'usage on sequence': USER['usage on sequence'],
};

const job = { job_type: 'task', payload: { to: 'ada@example.com' } };

/** A database with the tables in a schema of their own, where nobody is given anything. */
async function createStrictDatabase(): Promise<TestDatabase> {
  const database = await createDatabase({ migrated: false });
  onTestFinished(() => database.drop());
  await database.query('revoke all on schema public from public');
  await cliOutput(['migrate', '--schema', SCHEMA], { url: database.directUrl });
  return database;
}

/** A new role, which can connect and has these privileges; its connection string. */
async function createRole(database: TestDatabase, privileges: string[] = []): Promise<string> {
  const name = `role_${randomUUID().replaceAll('-', '')}`;
  await database.query(`create role ${name} login password 'secret'`);
  onTestFinished(async () => {
    await database.query(`drop owned by ${name} cascade; drop role ${name}`);
  });
  for (const privilege of privileges) await database.query(`grant ${privilege} to ${name}`);
  return Object.assign(new URL(database.directUrl), { username: name, password: 'secret' }).href;
}

async function openQueue(url: string): Promise<JobQueue> {
  const queue = await initJobQueue({ databaseConfig: { connectionString: url }, schema: SCHEMA });
  onTestFinished(() => queue.close());
  return queue;
}

/** Everything that can be asked of a queue, each by its name. */
function everything(queue: JobQueue): [string, () => Promise<unknown>][] {
  const processor = (options = {}) =>
    queue.createProcessor(
      { task: async () => {}, fails: () => Promise.reject(new Error('no')) },
      { onError: () => {}, ...options },
    );
  return [
    ['addJob', () => queue.addJob(job)],
    ['addJobs', () => queue.addJobs([job, { ...job, job_type: 'fails' }])],
    ['getJob', () => queue.getJob(1)],
    ['getJobsByStatus', () => queue.getJobsByStatus('pending')],
    ['getAllJobs', () => queue.getAllJobs()],
    ['start', () => processor().start()],
    ['start with jobType', () => processor({ jobType: 'task' }).start()],
    ['start with removeOnComplete', () => processor({ removeOnComplete: true }).start()],
    ['retryJob', () => queue.retryJob(1)],
    ['cancelJob', () => queue.cancelJob(1)],
    ['cancelAllUpcomingJobs', () => queue.cancelAllUpcomingJobs()],
    ['reclaimStuckJobs', () => queue.reclaimStuckJobs()],
    ['cleanupOldJobs', () => queue.cleanupOldJobs()],
  ];
}

/** The parts of `everything` that are refused, each because of a missing privilege, which the error names. */
async function refused(queue: JobQueue): Promise<string[]> {
  const names: string[] = [];
  for (const [name, call] of everything(queue)) {
    const failed = await call().then(
      () => false,
      () => true,
    );
    if (!failed) continue;
    const error = await rejection(call(), 'DATABASE_ERROR', /permission denied for/);
    expect(error.sqlState).toBe('42501');
    expect(error.message).toContain(`\`grant usage on schema ${SCHEMA} to ROLE\``);
    if (!error.message.includes('for schema')) {
      expect(error.message).toContain(`select, insert, update, delete on ${SCHEMA}.job_queue`);
      expect(error.message).toContain(`insert (${GIVEN_COLUMNS}), select (id) on`);
    }
    names.push(name);
  }
  return names;
}

describe('a role with the privileges of a user of the queue', () => {
  test('can do everything', async () => {
    const database = await createStrictDatabase();
    const queue = await openQueue(await createRole(database, Object.values(USER)));
    expect(await refused(queue)).toEqual([]);
    expect(await queue.getJob(1)).toMatchObject(job);
    const options = { workerId: 'a worker', onError: () => {} };
    const id = await queue.addJob(job);
    expect(await queue.createProcessor({ task: async () => {} }, options).start()).toBe(1);
    expect(await queue.getJob(id)).toMatchObject({ status: 'completed' });
  });

  test.each(Object.keys(USER) as (keyof typeof USER)[])('needs %s', async (missing) => {
    const database = await createStrictDatabase();
    const { [missing]: _, ...others } = USER;
    const queue = await openQueue(await createRole(database, Object.values(others)));
    expect(await refused(queue)).not.toEqual([]);
  });

  test('can hand over a client of its own', async () => {
    const database = await createStrictDatabase();
    const url = await createRole(database, Object.values(USER));
    const queue = await openQueue(url);
    const pool = new Pool({ connectionString: url });
    onTestFinished(() => pool.end());
    const id = await queue.addJob(pool, job);
    await queue.cancelJob(pool, id);
    expect(await queue.getJob(pool, id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a role that may only add jobs', () => {
  test('can do that and nothing else', async () => {
    const database = await createStrictDatabase();
    const queue = await openQueue(await createRole(database, Object.values(PRODUCER)));
    const names = everything(queue).map(([name]) => name);
    expect(await refused(queue)).toEqual(names.filter((name) => !/^addJobs?$/.test(name)));
    const rows = await database.query(`select distinct status from ${SCHEMA}.job_queue`);
    expect(rows).toEqual([{ status: 'pending' }]);
  });

  test('can do that on a client of its own, and many at once', async () => {
    const database = await createStrictDatabase();
    const url = await createRole(database, Object.values(PRODUCER));
    const queue = await openQueue(url);
    const pool = new Pool({ connectionString: url });
    onTestFinished(() => pool.end());
    const many = Array.from({ length: 1_001 }, () => job);
    const ids = [await queue.addJob(pool, job), ...(await queue.addJobs(pool, [job, job]))];
    ids.push(...(await queue.addJobs(many)), ...(await queue.addJobs(pool, many)));
    const rows = await database.query(`select id::int from ${SCHEMA}.job_queue order by id`);
    expect(rows.map(({ id }) => id)).toEqual(ids);
  });

  test("cannot write the engine's columns", async () => {
    const database = await createStrictDatabase();
    const url = await createRole(database, Object.values(PRODUCER));
    const insert = (columns = '', values = '') =>
      `insert into ${SCHEMA}.job_queue (job_type, payload${columns}) values ('task', '1'${values})`;
    await administer(url, insert());
    for (const [column, value] of Object.entries(engines)) {
      for (const statement of [
        insert(`, ${column}`, `, ${value}`),
        `update ${SCHEMA}.job_queue set ${column} = ${value}`,
      ]) {
        await expect(administer(url, statement), statement).rejects.toMatchObject({
          code: '42501',
        });
      }
    }
  });

  test('can do that from SQL too', async () => {
    const database = await createStrictDatabase();
    const pool = new Pool({
      connectionString: await createRole(database, Object.values(PRODUCER)),
    });
    onTestFinished(() => pool.end());
    const { rows } = await pool.query(`select ${SCHEMA}.add_job('task', '{}')::int as id`);
    expect(rows).toEqual([{ id: 1 }]);
  });

  test.each(Object.keys(PRODUCER) as (keyof typeof PRODUCER)[])('needs %s', async (missing) => {
    const database = await createStrictDatabase();
    const { [missing]: _, ...others } = PRODUCER;
    const queue = await openQueue(await createRole(database, Object.values(others)));
    expect(await refused(queue)).toContain('addJob');
  });
});

describe('a role that migrates', () => {
  async function emptyDatabase() {
    const database = await createDatabase({ migrated: false });
    onTestFinished(() => database.drop());
    await database.query('revoke all on schema public from public');
    return database;
  }

  test('needs to create in the schema, and owns what it made', async () => {
    const database = await emptyDatabase();
    await database.query(`create schema ${SCHEMA}`);
    const url = await createRole(database, [`usage, create on schema ${SCHEMA}`]);
    await cliOutput(['migrate', '--schema', SCHEMA], { url });
    await cliOutput(['migrate', 'status', '--schema', SCHEMA], { url });
    const queue = await openQueue(url);
    expect(await refused(queue)).toEqual([]);
    await cliOutput(['migrate', 'down', '1000', '--schema', SCHEMA], { url });
  });

  test('needs to create in the database, where the schema does not exist', async () => {
    const database = await emptyDatabase();
    const url = await createRole(database, [`create on database ${database.name}`]);
    await cliOutput(['migrate', '--schema', SCHEMA], { url });
    expect(await refused(await openQueue(url))).toEqual([]);
  });

  test.each([
    ['that does not exist', [], 'grant create on database'],
    [
      'that it may only use',
      [`usage on schema ${SCHEMA}`],
      `grant usage, create on schema ${SCHEMA} to`,
    ],
  ])('is told what it lacks in a schema %s', async (_, privileges: string[], advice) => {
    const database = await emptyDatabase();
    if (privileges.length > 0) await database.query(`create schema ${SCHEMA}`);
    const url = await createRole(database, privileges);
    const { code, stderr } = await cli(['migrate', '--schema', SCHEMA], { url });
    expect(code).toBe(1);
    expect(stderr).toMatch(/lacks a privilege: permission denied for (schema|database)/);
    expect(stderr).toContain(advice);
  });

  test('must own the table that somebody else made', async () => {
    const database = await emptyDatabase();
    await cliOutput(['migrate', '--schema', SCHEMA], { url: database.directUrl });
    const allButTheFirst = String(migrations.length - 1);
    await cliOutput(['migrate', 'down', allButTheFirst, '--schema', SCHEMA], {
      url: database.directUrl,
    });
    const url = await createRole(database, [
      `usage, create on schema ${SCHEMA}`,
      `all on all tables in schema ${SCHEMA}`,
    ]);
    const { code, stderr } = await cli(['migrate', '--schema', SCHEMA], { url });
    expect(code).toBe(1);
    expect(stderr).toMatch(/failed and was undone: must be owner of table job_queue/);
  });

  test('to see the status, reading the record is enough', async () => {
    const database = await createStrictDatabase();
    const url = await createRole(database, [
      `usage on schema ${SCHEMA}`,
      `select on ${SCHEMA}.job_queue_migrations`,
    ]);
    const status = await cliOutput(['migrate', 'status', '--schema', SCHEMA], { url });
    expect(status).toMatch(/(\d+) of \1 migrations applied/);
  });
});

test('a role without the right to connect is told so', async () => {
  const database = await createStrictDatabase();
  await database.query(`revoke connect on database ${database.name} from public`);
  const url = withDatabase(await createRole(database, []), database.name);
  const queue = await openQueue(url);
  const error = await rejection(queue.getJob(1), 'CONNECTION_FAILED', /permission denied for data/);
  expect(error.sqlState).toBe('42501');
});

test('a role to which every table is open can read what was migrated, and keep nobody from migrating', async () => {
  const database = await createDatabase({ migrated: false });
  onTestFinished(() => database.drop());
  const url = await createRole(database);
  const { username } = new URL(url);
  // As Supabase does for its data API.
  await database.query(`
    alter default privileges in schema public grant all on tables to ${username};
    grant usage on schema public to ${username}`);
  await cliOutput(['migrate'], { url: database.directUrl });
  const write = "insert into job_queue_migrations (name) values ('9999999999999_future')";
  await expect(administer(url, write)).rejects.toMatchObject({ code: '42501' });
  await administer(
    url,
    "update job_queue_migrations set name = 'x'",
    'delete from job_queue_migrations',
  );
  expect(await cliOutput(['migrate'], { url: database.directUrl })).toContain('Nothing to do');
  const counted = `${migrations.length} of ${migrations.length} migrations applied.`;
  expect(await cliOutput(['migrate', 'status'], { url })).toContain(counted);
});
