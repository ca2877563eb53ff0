import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { processEnv, resetEnv, updateInitialEnv } from '@next/env';
import { expand } from 'dotenv-expand';
import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import packageJson from '../package.json';
import { readEnvFile } from '../ts/cli/env-file.js';
import { main } from '../ts/cli/main.js';
import { JobQueueError } from '../ts/errors/job-queue-error.js';

/** The native side: what it is asked is looked at here, what it does is tested with a database. */
const database = vi.hoisted(() => ({
  migrate: vi.fn(),
  migrationStatus: vi.fn(),
  migrateDown: vi.fn(),
  migrationSql: vi.fn(),
}));

vi.mock('../ts/addon/native.js', () => ({
  native: () => database,
  call: <T>(promise: Promise<T>) => promise,
}));

const URL = 'postgresql://me:hunter2@db.example.com:6000/app';
const ENV = { USER: 'os-user', PG_BG_JOB_QUEUE_DATABASE: URL };
const SETTINGS = { host: 'db.example.com', port: 6000, user: 'me', database: 'app' };

let directory: string;

function envFile(content: string): string {
  const path = join(directory, '.env');
  writeFileSync(path, content);
  return path;
}

function readByNext(path: string, env: NodeJS.Dict<string>): NodeJS.Dict<string> {
  updateInitialEnv(env);
  const files = [{ path, contents: readFileSync(path, 'utf8'), env: {} }];
  const [, read = {}] = processEnv(files, directory, console, true);
  resetEnv();
  return read;
}

function readByDotenvExpand(path: string, env: Record<string, string>) {
  const parsed = parseEnv(readFileSync(path, 'utf8')) as Record<string, string>;
  return expand({ parsed, processEnv: { ...env } }).parsed as object;
}

beforeAll(() => {
  directory = mkdtempSync('/tmp/cli-test-');
});
afterAll(() => rmSync(directory, { recursive: true }));

beforeEach(() => {
  vi.resetAllMocks();
  database.migrate.mockResolvedValue(JSON.stringify({ applied: [], recognised: [], renewed: [] }));
  database.migrationStatus.mockResolvedValue(JSON.stringify([]));
  database.migrateDown.mockResolvedValue(JSON.stringify({ reverted: [] }));
  database.migrationSql.mockReturnValue('create table job_queue ();\n');
});

async function run(args: string, env: NodeJS.ProcessEnv = ENV) {
  let stdout = '';
  let stderr = '';
  const code = await main(args.split(' ').filter(Boolean), env, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  expect(stdout + stderr).not.toContain('hunter2');
  return { code, stdout, stderr };
}

/** The settings that the native side was given by the last command. */
async function settingsOf(args: string, env?: NodeJS.ProcessEnv) {
  expect(await run(args, env)).toMatchObject({ code: 0, stderr: '' });
  return database.migrate.mock.lastCall?.[0];
}

function expectUntouched(): void {
  for (const method of Object.values(database)) expect(method).not.toHaveBeenCalled();
}

describe('migrate', () => {
  test('tells what it applied', async () => {
    const applied = ['1_first', '2_second'];
    database.migrate.mockResolvedValue(JSON.stringify({ applied, recognised: [], renewed: [] }));
    expect(await run('migrate')).toEqual({
      code: 0,
      stdout: 'applied     1_first\napplied     2_second\nDone: 2 migrations applied.\n',
      stderr: '',
    });
    expect(database.migrate).toHaveBeenCalledWith(expect.objectContaining(SETTINGS), 'public');
  });

  test('tells what node-pg-migrate had applied', async () => {
    const recognised = ['1_first'];
    database.migrate.mockResolvedValueOnce(
      JSON.stringify({ applied: ['2_second'], recognised, renewed: [] }),
    );
    expect((await run('migrate')).stdout).toBe(
      'recognised  1_first (applied earlier by node-pg-migrate)\napplied     2_second\nDone: 1 migration applied.\n',
    );
    database.migrate.mockResolvedValueOnce(
      JSON.stringify({ applied: [], recognised, renewed: [] }),
    );
    expect((await run('migrate')).stdout).toContain('Nothing else to do: the schema is up to date');
  });

  test('tells that there was nothing to do', async () => {
    const status = [1, 2, 3].map((n) => ({ name: `${n}_name`, appliedAt: n }));
    database.migrationStatus.mockResolvedValue(JSON.stringify(status));
    expect((await run('migrate')).stdout).toBe(
      'Nothing to do: the schema is up to date (3 migrations).\n',
    );
  });

  test('in another schema', async () => {
    await run('migrate --schema jobs');
    expect(database.migrate).toHaveBeenCalledWith(expect.objectContaining(SETTINGS), 'jobs');
  });

  test('prints SQL, and needs no database for it', async () => {
    expect(await run('migrate --print-sql --schema=jobs', {})).toEqual({
      code: 0,
      stdout: 'create table job_queue ();\n',
      stderr: '',
    });
    expect(database.migrationSql).toHaveBeenCalledWith('jobs');
  });
});

describe('migrate status', () => {
  test('is a table', async () => {
    database.migrationStatus.mockResolvedValue(
      JSON.stringify([
        { name: '1_first', appliedAt: Date.UTC(2026, 0, 2, 3, 4, 5, 678) },
        { name: '2_second', appliedAt: null },
      ]),
    );
    expect(await run('migrate status --schema jobs')).toEqual({
      code: 0,
      stdout: [
        'APPLIED AT            MIGRATION',
        '2026-01-02 03:04:05Z  1_first',
        'not applied           2_second',
        '1 of 2 migrations applied.',
        '',
      ].join('\n'),
      stderr: '',
    });
    expect(database.migrationStatus).toHaveBeenCalledWith(
      expect.objectContaining(SETTINGS),
      'jobs',
    );
  });
});

describe('migrate down', () => {
  test.each([
    ['migrate down', 1],
    ['migrate down 2', 2],
    ['migrate down 1000', 1000],
  ])('%s', async (args, count) => {
    database.migrateDown.mockResolvedValue(JSON.stringify({ reverted: ['2_second'] }));
    expect(await run(args)).toEqual({
      code: 0,
      stdout: 'reverted    2_second\nDone: 1 migration reverted.\n',
      stderr: '',
    });
    expect(database.migrateDown).toHaveBeenCalledWith(
      expect.objectContaining(SETTINGS),
      'public',
      count,
    );
  });

  test('with nothing to revert', async () => {
    expect((await run('migrate down')).stdout).toBe('Nothing to do: no migration is applied.\n');
  });
});

describe('which database', () => {
  const other = 'postgresql://me@other/app';

  test('--database wins over the variable', async () => {
    expect(await settingsOf(`migrate --database ${other}`)).toMatchObject({ host: 'other' });
  });

  test('the variable wins over the file, unless it is empty', async () => {
    const path = envFile(`PG_BG_JOB_QUEUE_DATABASE=${other}`);
    const args = `migrate --env-file ${path}`;
    expect(await settingsOf(args)).toMatchObject({ host: 'db.example.com' });
    expect(await settingsOf(args, {})).toMatchObject({ host: 'other' });
    expect(await settingsOf(args, { PG_BG_JOB_QUEUE_DATABASE: '' })).toMatchObject({
      host: 'other',
    });
  });

  test('DATABASE_URL stands in, wherever it is, and the user is told', async () => {
    const note =
      'pg-bg-job-queue-cli: PG_BG_JOB_QUEUE_DATABASE is not set, so the database is that of DATABASE_URL\n';
    const path = envFile(`DATABASE_URL=${other}?schema=public`);
    for (const [args, env] of [
      ['migrate', { DATABASE_URL: other, PG_BG_JOB_QUEUE_DATABASE: '' }],
      [`migrate --env-file ${path}`, {}],
      [`migrate --env-file ${path}`, { PG_BG_JOB_QUEUE_DATABASE: ' ' }],
    ] as const) {
      expect(await run(args, env)).toMatchObject({ code: 0, stderr: note });
      expect(database.migrate.mock.lastCall?.[0]).toMatchObject({ host: 'other' });
    }
  });

  test('DATABASE_URL gives way to the variable, also to that of the file, and to --database', async () => {
    const path = envFile(`PG_BG_JOB_QUEUE_DATABASE=${other}`);
    const elsewhere = { DATABASE_URL: 'postgresql://elsewhere/app' };
    for (const args of [`migrate --env-file ${path}`, `migrate --database ${other}`]) {
      expect(await settingsOf(args, elsewhere)).toMatchObject({ host: 'other' });
    }
    expect(await settingsOf('migrate', { ...ENV, ...elsewhere })).toMatchObject(SETTINGS);
  });

  test('other variables of the file count too', async () => {
    const path = envFile(
      '\ufeffPGPORT=6001 # a comment\nexport PGUSER="from file"\nPGAPPNAME=\'app\'\n',
    );
    const env = { PGPORT: '6002', PG_BG_JOB_QUEUE_DATABASE: 'postgresql://db' };
    expect(await settingsOf(`migrate --env-file ${path}`, { ...env, PGUSER: '' })).toMatchObject({
      port: 6002,
      user: 'from file',
      applicationName: 'app',
    });
  });

  test('references in the file are replaced as Next.js and dotenv-expand do it', async () => {
    const env = { HOST: 'db.example.com', EMPTY: '' };
    vi.stubEnv('HOST', env.HOST);
    onTestFinished(() => void vi.unstubAllEnvs());
    const path = envFile(`
BRACED=\${HOST}
BARE=$HOST
MIDST=a-$HOST/b-\${HOST}c
DEFAULT=\${NOWHERE:-otherwise}
DASH=\${NOWHERE-otherwise}
EMPTY_DEFAULT=\${EMPTY:-otherwise}
NO_TEXT=\${NOWHERE:-}
NOT_NEEDED=\${HOST:-otherwise}
NESTED=\${NOWHERE:-\${ALSO_NOWHERE:-$HOST}}
CHAIN=x$BRACED
LATER=$LAST
QUOTED="\${HOST}"
SINGLY='\${HOST}'
ESCAPED=pa\\$HOST
ESCAPED_BRACES=\\\${HOST}
ALONE=a$ b$1 $
HOST=overridden
BLANK=
OF_BLANK=<\${BLANK}>
LAST=last
`);
    const read = { ...readEnvFile(path, env) };
    expect(read).toMatchObject(readByDotenvExpand(path, env));
    // Next.js has no `-`, and what it loads of a variable that is set already is its own affair.
    const { DASH, HOST, ...byNext } = readByNext(path, env);
    expect(read).toMatchObject(byNext);
    expect(read).toMatchObject({ NESTED: 'db.example.com', CHAIN: 'xdb.example.com' });
  });

  test('a dollar sign with a word behind it that is no variable is one', async () => {
    const path = envFile('PG_BG_JOB_QUEUE_DATABASE=postgresql://me:pa$word@$HOST/app\nHOST=db');
    expect(await settingsOf(`migrate --env-file ${path}`, {})).toMatchObject({
      host: 'db',
      password: 'pa$word',
    });
  });

  test.each([
    [
      `x\${NOWHERE}`,
      'PG_BG_JOB_QUEUE_DATABASE refers to NOWHERE, which is set neither there nor in',
    ],
    ['$A', 'B refers to NOWHERE'],
    ['$LOOP', 'LOOP refers to itself'],
  ])(
    'a reference that leads nowhere is wrong usage where it is read: %s',
    async (value, message) => {
      const others = `A=$B\nB=\${NOWHERE}\nLOOP=$POOL\nPOOL=$LOOP\n`;
      const path = envFile(`PG_BG_JOB_QUEUE_DATABASE=${value}\n${others}`);
      const { code, stderr } = await run(`migrate --env-file ${path}`, {});
      expect(code).toBe(2);
      expect(stderr).toContain(`--env-file: in ${path}, ${message}`);
      envFile(`PG_BG_JOB_QUEUE_DATABASE=${other}\n${others}`);
      expect(await settingsOf(`migrate --env-file ${path}`, {})).toMatchObject({ host: 'other' });
    },
  );

  test.each<[string, NodeJS.ProcessEnv, string]>([
    ['migrate', {}, 'PG_BG_JOB_QUEUE_DATABASE is not set: set it to your Postgres connection str'],
    ['migrate status', { PG_BG_JOB_QUEUE_DATABASE: ' ' }, 'PG_BG_JOB_QUEUE_DATABASE is not set'],
    ['migrate --database=', ENV, '--database is empty'],
    ['migrate --env-file /none', ENV, '--env-file: /none cannot be read (ENOENT)'],
    ['migrate --env-file /tmp', ENV, '--env-file: /tmp cannot be read (EISDIR)'],
    ['migrate', { DATABASE_URL: 'hunter2' }, 'DATABASE_URL is not a valid connection string'],
    ['migrate', { PG_BG_JOB_QUEUE_DATABASE: 'hunter2' }, 'PG_BG_JOB_QUEUE_DATABASE is not a valid'],
    ['migrate --database hunter2', ENV, '--database is not a valid connection string'],
    ['migrate --database pg://db/x?port=x', ENV, 'port in --database must be an integer'],
    ['migrate', { ...ENV, PGSSLMODE: 'x' }, 'PGSSLMODE must be one of'],
  ])('%s, with %j, is wrong usage', async (args, env, message) => {
    const { code, stdout, stderr } = await run(args, env);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`pg-bg-job-queue-cli: ${message}`);
    expect(stderr.match(/\n/g)).toHaveLength(2);
    expectUntouched();
  });

  test('a file without the variable is named', async () => {
    const path = envFile('OTHER=1\n');
    expect((await run(`migrate --env-file ${path}`, {})).stderr).toContain(
      `neither PG_BG_JOB_QUEUE_DATABASE nor DATABASE_URL is set in the environment or in ${path}`,
    );
  });
});

describe('wrong usage', () => {
  test.each([
    ['up', 'unknown command up'],
    [URL, 'unknown command\n'],
    ['migrate up', 'unknown command migrate up'],
    [`migrate ${URL}`, 'unknown command migrate\n'],
    ['migrate status now', 'one argument too many now'],
    [`migrate status ${URL}`, 'one argument too many\n'],
    ['migrate down 1 2', 'one argument too many\n'],
    ['migrate down 0', 'migrate down takes a number of migrations, 1 to 1000'],
    ['migrate down 1001', 'migrate down takes a number of migrations, 1 to 1000'],
    ['migrate down all', 'migrate down takes a number of migrations, 1 to 1000'],
    ['migrate down 1.5', 'migrate down takes a number of migrations, 1 to 1000'],
    ['migrate down -1', "unknown option '-1'\n"],
    ['migrate status --print-sql', '--print-sql prints all migrations; it goes with migrate alone'],
    ['migrate --print-sql=yes', "option '--print-sql' does not take an argument\n"],
    [`migrate --databse=${URL}`, "unknown option '--databse'\n"],
    ['migrate --database', "option '--database <value>' argument missing\n"],
    ['migrate --database --print-sql', "option '--database' argument is ambiguous\n"],
    ['migrate --schema=', '--schema must be 1 to 63 bytes long, got 0'],
    [`migrate --schema=${'s'.repeat(64)}`, '--schema must be 1 to 63 bytes long, got 64'],
  ])('%s', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`pg-bg-job-queue-cli: ${message}`);
    expect(stderr).toMatch(/\nRun pg-bg-job-queue-cli --help to see how it is used\.\n$/);
    expectUntouched();
  });
});

describe('help', () => {
  test.each(['', '--schema jobs'])('without a command: %s', async (args) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(
      `pg-bg-job-queue-cli: a command is missing: migrate\n\n${(await run('--help')).stdout}`,
    );
    expectUntouched();
  });

  test.each(['--help', '-h', 'migrate --help', 'migrate down -h'])('%s', async (args) => {
    const { code, stdout, stderr } = await run(args, {});
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('Usage: pg-bg-job-queue-cli migrate [status | down [n]] [options]');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expectUntouched();
  });

  test.each(['--version', '-v'])('%s', async (args) => {
    expect(await run(args, {})).toEqual({
      code: 0,
      stdout: `${packageJson.version}\n`,
      stderr: '',
    });
  });
});

describe('failure', () => {
  test.each([
    ['migrate', database.migrate],
    ['migrate status', database.migrationStatus],
    ['migrate down', database.migrateDown],
  ])('of %s is told in one line, without stack or connection string', async (args, method) => {
    const message = `no answer from db.example.com\n  at ${URL}, see https://example.com/help`;
    method.mockRejectedValue(new JobQueueError('CONNECTION_FAILED', message));
    expect(await run(args)).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'pg-bg-job-queue-cli: no answer from db.example.com at postgresql://... see https://example.com/help\n',
    });
  });

  test('of the addon itself', async () => {
    database.migrationSql.mockImplementation(() => {
      throw 'the addon is missing';
    });
    expect(await run('migrate --print-sql')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'pg-bg-job-queue-cli: the addon is missing\n',
    });
  });
});
