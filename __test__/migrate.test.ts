import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { initJobQueue } from '../index.js';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { cli, cliOutput, migrations } from './helpers/cli.js';
import {
  administer,
  createDatabase,
  type TestDatabase,
  useDatabase,
  withDatabase,
} from './helpers/database.js';
import { describeSchema } from './helpers/schema.js';

const count = `${migrations.length} migrations`;
const [first = '', second = ''] = migrations;

const emptyDatabase = () => createDatabase({ migrated: false });

/** What a migration can leave behind. */
async function contents(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    `select relname as name from pg_class
    where relnamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information_schema)')
    union all select nspname from pg_namespace where nspname !~ '^(pg_|information_schema|public$)'
    order by name`,
  );
  return rows.map(({ name }) => name);
}

/** Has one job run, from end to end. */
async function useQueue(url: string, schema = 'public'): Promise<void> {
  await using queue = await initJobQueue({ databaseConfig: { connectionString: url }, schema });
  const id = await queue.addJob({ job_type: 'greet', payload: { name: 'Ada' } });
  expect(await queue.createProcessor({ greet: async () => {} }).start()).toBe(1);
  expect(await queue.getJob(id)).toMatchObject({ id, status: 'completed' });
}

describe.each([18, 14] as const)('on Postgres %i', (version) => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startPostgres({ version });
  });
  afterAll(() => server.stop());

  test('a database goes up, stays, and comes down again', async () => {
    const url = server.url();
    const migrate = (...args: string[]) => cliOutput(['migrate', ...args], { url });
    const applied = migrations.map((name) => expect.stringMatching(`^\\d.*Z  ${name}$`));
    const missing = migrations.map((name) => `not applied           ${name}`);
    const status = async () => (await migrate('status')).trim().split('\n').slice(1);

    expect(await status()).toEqual([...missing, `0 of ${count} applied.`]);
    expect(await migrate('down')).toBe('Nothing to do: no migration is applied.\n');

    const lines = migrations.map((name) => `applied     ${name}\n`).join('');
    expect(await migrate()).toBe(`${lines}Done: ${count} applied.\n`);
    expect(await status()).toEqual([...applied, `${migrations.length} of ${count} applied.`]);
    await useQueue(url);

    expect(await migrate()).toBe(`Nothing to do: the schema is up to date (${count}).\n`);

    const last = migrations.at(-1);
    expect(await migrate('down')).toBe(`reverted    ${last}\nDone: 1 migration reverted.\n`);
    expect((await status()).at(-2)).toBe(`not applied           ${last}`);
    expect(await migrate()).toBe(`applied     ${last}\nDone: 1 migration applied.\n`);
    await useQueue(url);

    expect(await migrate('down', '2')).toContain('Done: 2 migrations reverted.');
    expect(await migrate('down', '1000')).toContain(migrations.length > 2 ? 'Done' : 'Nothing');
    expect(await status()).toEqual([...missing, `0 of ${count} applied.`]);

    expect(await migrate()).toContain(`Done: ${count} applied.`);
    await useQueue(url);
  });
});

test('migrations that were all reverted leave nothing behind', async () => {
  await using database = await emptyDatabase();
  await cliOutput(['migrate'], database);
  await cliOutput(['migrate', 'down', '1000'], database);
  expect(await contents(database)).toEqual([]);
});

test('migrators that run at once apply everything once', async () => {
  await using database = await emptyDatabase();
  const args = ['migrate', '--schema', 'jobs'];
  const outputs = await Promise.all(Array.from({ length: 5 }, () => cliOutput(args, database)));
  const lines = outputs.flatMap((output) => output.match(/^applied .*/gm) ?? []);
  expect(lines.sort()).toEqual(migrations.map((name) => `applied     ${name}`));
  await useQueue(database.url, 'jobs');
});

test('so do those whose role asks for another isolation', async () => {
  await using database = await emptyDatabase();
  await database.query(
    `alter database ${database.name} set default_transaction_isolation = 'serializable'`,
  );
  const args = ['migrate', '--schema', 'jobs'];
  const outputs = await Promise.all(Array.from({ length: 8 }, () => cliOutput(args, database)));
  const lines = outputs.flatMap((output) => output.match(/^applied .*/gm) ?? []);
  expect(lines).toHaveLength(migrations.length);
});

test('a new table counts its jobs in 64 bits, and goes on to', async () => {
  await using database = await emptyDatabase();
  const idType = async () =>
    (await database.query("select pg_typeof(id) from job_queue union select 'bigint'")).length;
  for (const args of [['migrate'], ['migrate', 'down', '2'], ['migrate']]) {
    await cliOutput(args, database);
    expect(await idType()).toBe(1);
  }
});

describe('--schema', () => {
  const database = useDatabase({ migrated: false });

  test.each([
    'select',
    'Upper Case',
    'a.b',
    '"quo"ted"',
    `it's back\\slash`,
    'Aufträge_✓',
    '-dash',
    '$1; drop schema public; --',
    'x'.repeat(63),
  ])('%s', async (schema) => {
    const args = ['migrate', `--schema=${schema}`];
    await cliOutput(args, database);
    expect(await cliOutput(args, database)).toContain('up to date');
    await useQueue(database.url, schema);
    expect(await describeSchema(database.pool)).toBe('');
  });

  test('keeps queues apart', async () => {
    await using database = await emptyDatabase();
    await cliOutput(['migrate', '--schema', 'jobs'], database);
    expect(await cliOutput(['migrate', 'status'], database)).toContain('0 of');
    await cliOutput(['migrate'], database);
    await cliOutput(['migrate', 'down', '1000', '--schema', 'jobs'], database);
    await useQueue(database.url);
    expect(await describeSchema(database.pool, 'jobs')).toBe('');
  });
});

describe('a schema that was renamed', () => {
  const rename = (database: TestDatabase, from: string, to: string) =>
    database.query(`alter schema "${from}" rename to "${to}"`);
  const added = async (database: TestDatabase, schema: string) =>
    (await database.query(`select from "${schema}".job_queue`)).length;

  test('has its add_job renewed by migrate', async () => {
    await using database = await emptyDatabase();
    await cliOutput(['migrate', '--schema', 'jobs'], database);
    await rename(database, 'jobs', 'My work');
    const args = ['migrate', '--schema', 'My work'];
    const last = migrations.at(-1);
    expect(await cliOutput(args, database)).toBe(
      `renewed     ${last}\nNothing else to do: the schema is up to date.\n`,
    );
    await database.query(`select "My work".add_job('job', '1')`);
    // Where a new one has the old name, that is not written to.
    await cliOutput(['migrate', '--schema', 'jobs'], database);
    await database.query(`select "My work".add_job('job', '1')`);
    expect([await added(database, 'My work'), await added(database, 'jobs')]).toEqual([2, 0]);
    expect(await cliOutput(args, database)).toContain('Nothing to do');
  });
});

test('an add_job of another version is renewed by migrate, and the former one is gone', async () => {
  await using database = await emptyDatabase();
  await cliOutput(['migrate'], database);
  const functions = () => database.query(`select prosrc from pg_proc where proname = 'add_job'`);
  const current = await functions();
  await database.query(`
    drop function add_job;
    create function add_job(job_type text, payload jsonb, note text default null) returns bigint
    language sql as 'select 1::bigint'`);
  expect(await cliOutput(['migrate'], database)).toMatch(/^renewed {5}/);
  expect(await functions()).toEqual(current);
  // One that is as it should be keeps what was granted.
  await database.query('revoke execute on function add_job from public');
  const rights = () => database.query(`select proacl from pg_proc where proname = 'add_job'`);
  const revoked = await rights();
  expect(await cliOutput(['migrate'], database)).toContain('Nothing to do');
  expect(await rights()).toEqual(revoked);
  await cliOutput(['migrate', 'down'], database);
  expect(await functions()).toEqual([]);
});

describe('--print-sql', () => {
  /** As `psql` does: one statement at a time. */
  async function apply(url: string, sql: string): Promise<void> {
    const statements = [''];
    let quote: string | undefined;
    for (const line of sql.split('\n')) {
      for (const [tag] of line.matchAll(/\$\w*\$/g)) {
        if (quote === undefined) quote = tag;
        else if (quote === tag) quote = undefined;
      }
      statements[statements.length - 1] += `${line}\n`;
      if (quote === undefined && line.endsWith(';')) statements.push('');
    }
    expect(statements.length).toBeGreaterThan(10);
    await administer(url, ...statements.filter((statement) => statement.trim()));
  }

  test.each(['public', 'quo"te'])('gives what migrate makes, in schema %s', async (schema) => {
    await using byScript = await emptyDatabase();
    await using byCli = await emptyDatabase();
    const args = ['migrate', '--schema', schema];
    const sql = await cliOutput([...args, '--print-sql']);
    await apply(byScript.url, sql);
    await cliOutput(args, byCli);
    expect(await describeSchema(byScript.pool, schema)).toBe(
      await describeSchema(byCli.pool, schema),
    );
    expect(await cliOutput(args, byScript)).toContain('Nothing to do');
    await useQueue(byScript.url, schema);
  });

  test('needs no right to create schemas where the schema exists', async () => {
    await using database = await emptyDatabase();
    await using role = await createRole(database);
    await database.query(`create schema jobs authorization ${role.name}`);
    await apply(role.url, await cliOutput(['migrate', '--schema', 'jobs', '--print-sql']));
    await useQueue(role.url, 'jobs');
  });

  test('run again does no harm', async () => {
    await using database = await emptyDatabase();
    const sql = await cliOutput(['migrate', '--print-sql']);
    await database.query(sql);
    const before = await describeSchema(database.pool);
    await useQueue(database.url);
    await database.query(sql);
    expect(await describeSchema(database.pool)).toBe(before);
    expect(await database.query('select status from job_queue')).toEqual([{ status: 'completed' }]);
  });
});

describe('a migration that fails', () => {
  test('leaves nothing, and can be tried again', async () => {
    await using database = await emptyDatabase();
    await database.query(`create type job_queue_id_seq as enum ('taken')`);
    const before = await contents(database);
    const { code, stdout, stderr } = await cli(['migrate'], database);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('already exists');
    expect(stderr).toContain(first);
    // It is what was just run.
    expect(stderr).not.toContain('pg-bg-job-queue-cli migrate');
    expect(await contents(database)).toEqual(before);

    await database.query('drop type job_queue_id_seq');
    await cliOutput(['migrate'], database);
    await useQueue(database.url);
  });

  test('keeps those before it', async () => {
    await using database = await emptyDatabase();
    await cliOutput(['migrate'], database);
    await cliOutput(['migrate', 'down', `${migrations.length - 1}`], database);
    await database.query(
      "insert into job_queue (job_type, payload, status) values ('a', '1', null)",
    );
    const before = await describeSchema(database.pool);
    await database.query(
      `create function refuse() returns trigger language plpgsql as
      $$ begin raise 'not on a Friday'; end $$`,
    );
    await database.query(
      'create trigger refuse before update on job_queue execute function refuse()',
    );
    const { code, stderr } = await cli(['migrate'], database);
    expect(code).toBe(1);
    expect(stderr).toContain('not on a Friday');
    expect(stderr).toContain(second);
    expect(await cliOutput(['migrate', 'status'], database)).toContain(`1 of ${count} applied.`);

    await database.query('drop function refuse cascade');
    expect(await describeSchema(database.pool)).toBe(before);
    await cliOutput(['migrate'], database);
    await database.query('delete from job_queue');
    await useQueue(database.url);
  });
});

async function createRole(database: TestDatabase) {
  const name = `role_of_${database.name}`;
  await database.query(`create role ${name} login password 'hunter2'`);
  const url = Object.assign(new URL(database.url), { username: name, password: 'hunter2' }).href;
  const drop = async () => {
    await database.query(`drop owned by ${name} cascade`);
    await database.query(`drop role ${name}`);
  };
  return { name, url, [Symbol.asyncDispose]: drop };
}

describe('rights', () => {
  test('the owner of the schema can migrate and use it', async () => {
    await using database = await emptyDatabase();
    await using role = await createRole(database);
    await database.query(`create schema jobs authorization ${role.name}`);
    const args = ['migrate', '--schema', 'jobs'];
    await cliOutput(args, role);
    await useQueue(role.url, 'jobs');
    await cliOutput(['migrate', 'down', '1000', '--schema', 'jobs'], role);
    expect(await describeSchema(database.pool, 'jobs')).toBe('');
  });

  test('that lack are named', async () => {
    await using database = await emptyDatabase();
    await database.query('revoke create on schema public from public');
    await using role = await createRole(database);
    expect(await cli(['migrate'], role)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('permission denied for schema public'),
    });
    expect(await cli(['migrate', '--schema', 'jobs'], role)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('permission denied for database'),
    });
  });
});

describe('a database that a newer version has migrated', () => {
  const newer = '9999999999999_future';

  async function newerDatabase(): Promise<TestDatabase> {
    const database = await createDatabase();
    await database.query('insert into job_queue_migrations (name) values ($1)', [newer]);
    return database;
  }

  test.each(['migrate', 'migrate down'])('is left alone by %s', async (line) => {
    await using database = await newerDatabase();
    const before = await describeSchema(database.pool);
    const { code, stdout, stderr } = await cli(line.split(' '), database);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('a newer version of pg-bg-job-queue has migrated this database');
    expect(stderr).toContain(newer);
    expect(await describeSchema(database.pool)).toBe(before);
  });

  test('is shown by migrate status', async () => {
    await using database = await newerDatabase();
    const status = await cliOutput(['migrate', 'status'], database);
    expect(status).toContain(`${newer} (of a newer version)`);
    expect(status).toContain(`${migrations.length} of ${count} applied.`);
  });
});

describe('which database', () => {
  test('that of a file', async () => {
    await using database = await emptyDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'migrate-test-'));
    const file = join(folder, '.env.local');
    try {
      writeFileSync(file, `# ours\nOTHER=1\nPG_BG_JOB_QUEUE_DATABASE="${database.url}"\n`);
      await cliOutput(['migrate', '--env-file', file]);
      await useQueue(database.url);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('that of --database, over the variable', async () => {
    await using database = await emptyDatabase();
    const url = withDatabase(database.url, 'absent');
    await cliOutput(['migrate', '--database', database.url], { url });
    await useQueue(database.url);
  });
});

describe('exit code 2', () => {
  test.each([
    ['a missing variable', ['migrate'], 'PG_BG_JOB_QUEUE_DATABASE is not set'],
    ['an unknown command', ['migrat'], 'unknown command migrat'],
    ['an unknown option', ['migrate', '--force'], "unknown option '--force'"],
    ['a senseless number', ['migrate', 'down', '-0.5'], 'pg-bg-job-queue-cli: '],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await cli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  test('a missing file', async () => {
    const { code, stdout, stderr } = await cli(['migrate', '--env-file', '/none']);
    // Node.js 20 reads a script's --env-file as its own, and ends with 9: nodejs/node#54232.
    expect([2, 9]).toContain(code);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/\/none.*(cannot be read|not found)/);
  });

  test.each([
    'postgres//me:hunter2@localhost/app',
    'postgres://me:hunter2@localhost:port/app',
    'postgres://me:2/hunter2@localhost/app',
    'mysql://me:hunter2@localhost/app',
    '://hunter2',
  ])('a malformed connection string, which is not repeated: %s', async (malformed) => {
    const env = { PG_BG_JOB_QUEUE_DATABASE: malformed };
    for (const { code, stdout, stderr } of [
      await cli(['migrate'], { env }),
      await cli(['migrate', '--database', malformed]),
      await cli(['migrate', malformed]),
    ]) {
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^pg-bg-job-queue-cli: \S/);
      expect(stderr).not.toContain('hunter2');
    }
  });
});

describe('exit code 1', () => {
  const server = new URL(inject('serverUrl'));
  const place = `${server.hostname}:${server.port}`;

  test('a wrong password', async () => {
    const url = Object.assign(new URL(server), { password: 'hunter2' }).href;
    expect(await cli(['migrate'], { url })).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        `cannot connect to Postgres at ${place}.*password authentication failed`,
      ),
    });
  });

  test('a database that does not exist', async () => {
    const { code, stderr } = await cli(['migrate', 'status'], {
      url: withDatabase(server.href, 'absent'),
    });
    expect(code).toBe(1);
    expect(stderr).toContain('database "absent" does not exist');
  });

  test.each(['migrate', 'migrate status', 'migrate down'])('%s, the server down', async (line) => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    await new Promise((resolve) => listener.close(resolve));
    const { code, stdout, stderr } = await cli(line.split(' '), {
      url: `postgres://me:hunter2@127.0.0.1:${port}/app`,
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`127.0.0.1:${port}, database "app"`);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
