/** Databases of the original package, made and migrated by node-pg-migrate, with jobs in them. */
import { describe, expect, test, vi } from 'vitest';
import { cli, cliOutput, migrations } from './helpers/cli.js';
import { createDatabase, type TestDatabase } from './helpers/database.js';
import { nodePgMigrate } from './helpers/node-pg-migrate.js';
import { OriginalCode, originalDatabase } from './helpers/original.js';
import { openQueue } from './helpers/queue.js';
import { describeSchema } from './helpers/schema.js';
import { until } from './helpers/until.js';

const [original, ...ours] = migrations;

interface Kind {
  /** Columns of the row, as SQL. */
  row?: Record<string, string>;
  /** Its status once all that is due has run. */
  becomes: 'completed' | 'failed' | 'pending' | 'processing' | 'cancelled';
}

/** Every kind of job that the original may have left, by a name that is its payload. */
const kinds: Record<string, Kind> = {
  due: { becomes: 'completed' },
  urgent: { row: { priority: '7' }, becomes: 'completed' },
  'due again': {
    row: { attempts: '1', locked_at: "now() - interval '1 hour'", locked_by: "'worker-1'" },
    becomes: 'completed',
  },
  scheduled: { row: { run_at: "now() + interval '1 day'" }, becomes: 'pending' },
  'pending without attempts left': { row: { attempts: '3' }, becomes: 'failed' },
  'failed, due again': {
    row: {
      status: "'failed'",
      attempts: '1',
      next_attempt_at: "now() - interval '1 minute'",
      error_history: `'[{"message": "no", "timestamp": "2026-01-01T00:00:00.000Z"}]'`,
    },
    becomes: 'completed',
  },
  'failed, due later': {
    row: { status: "'failed'", attempts: '2', next_attempt_at: "now() + interval '4 minutes'" },
    becomes: 'failed',
  },
  'failed for good': { row: { status: "'failed'", attempts: '3' }, becomes: 'failed' },
  'failed for good, with a date': {
    row: { status: "'failed'", attempts: '3', next_attempt_at: "now() - interval '1 minute'" },
    becomes: 'failed',
  },
  'failed without a handler': {
    row: {
      status: "'failed'",
      attempts: '1',
      next_attempt_at: "now() + interval '2 minutes'",
      pending_reason: "'No handler registered for job type: task'",
    },
    becomes: 'failed',
  },
  stuck: {
    row: {
      status: "'processing'",
      attempts: '1',
      locked_at: "now() - interval '1 hour'",
      locked_by: "'worker-1'",
    },
    becomes: 'processing',
  },
  'stuck in its last attempt': {
    row: {
      status: "'processing'",
      attempts: '3',
      locked_at: "now() - interval '1 hour'",
      locked_by: "'worker-1'",
    },
    becomes: 'processing',
  },
  running: {
    row: { status: "'processing'", attempts: '1', locked_at: 'now()', locked_by: "'worker-1'" },
    becomes: 'processing',
  },
  completed: { row: { status: "'completed'", attempts: '1' }, becomes: 'completed' },
  cancelled: { row: { status: "'cancelled'" }, becomes: 'cancelled' },
  'without a status': { row: { status: 'null' }, becomes: 'completed' },
  'without a priority': { row: { priority: 'null' }, becomes: 'completed' },
  'without attempts': { row: { attempts: 'null' }, becomes: 'completed' },
  'without a limit of attempts': { row: { max_attempts: 'null' }, becomes: 'completed' },
  'without run_at': { row: { run_at: 'null' }, becomes: 'completed' },
  'without any date': {
    row: { run_at: 'null', created_at: 'null', updated_at: 'null' },
    becomes: 'completed',
  },
  'without a history': { row: { error_history: 'null' }, becomes: 'completed' },
};

/** The value of a column that the original let be null, and that may no longer be null. */
const filledIn: Row = {
  status: 'pending',
  created_at: expect.any(Date),
  updated_at: expect.any(Date),
  attempts: 0,
  max_attempts: 3,
  priority: 0,
};

type Row = Record<string, unknown>;

async function insert(database: TestDatabase, payload: string, row = {}): Promise<void> {
  const columns = { job_type: "'task'", payload: '$1', ...row };
  await database.query(
    `insert into job_queue (${Object.keys(columns)}) values (${Object.values(columns)})`,
    [JSON.stringify(payload)],
  );
}

async function insertAllKinds(database: TestDatabase): Promise<void> {
  for (const [name, { row }] of Object.entries(kinds)) await insert(database, name, row);
}

function rows(database: TestDatabase): Promise<Row[]> {
  return database.query('select * from job_queue order by id');
}

const empty = (database: TestDatabase) => database.query('delete from job_queue');

/** The types of the ids and of their sequence. */
async function idTypes(database: TestDatabase): Promise<(string | undefined)[]> {
  const schema = await describeSchema(database.pool);
  const types = [/^job_queue\.id (\w+)/m, /^sequence job_queue_id_seq (\w+)/m];
  return types.map((type) => type.exec(schema)?.[1]);
}

async function statuses(database: TestDatabase): Promise<Record<string, string>> {
  const all = (await rows(database)) as { payload: string; status: string }[];
  return Object.fromEntries(all.map(({ payload, status }) => [payload, status]));
}

/** Runs what is due, and tells which. */
async function runAll(database: TestDatabase): Promise<string[]> {
  await using queue = await openQueue(database);
  const ran: string[] = [];
  const task = async (payload: string) => void ran.push(payload);
  await queue.createProcessor({ task }, { batchSize: 100, onError: () => {} }).start();
  return ran;
}

describe('migrating a database of the original', () => {
  test('keeps every row, id and status', async () => {
    await using database = await originalDatabase();
    await insertAllKinds(database);
    await database.query('delete from job_queue where payload = \'"urgent"\'');
    const before = await rows(database);

    expect(await cliOutput(['migrate'], database)).toBe(
      [
        `recognised  ${original} (applied earlier by node-pg-migrate)\n`,
        ...ours.map((name) => `applied     ${name}\n`),
        `Done: ${ours.length} migration${ours.length === 1 ? '' : 's'} applied.\n`,
      ].join(''),
    );

    const filled = before.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [key, value ?? filledIn[key] ?? null]),
      ),
    );
    const after = await rows(database);
    expect(after).toEqual(filled.map((row) => expect.objectContaining(row)));
    for (const { id } of after) expect(id).toBeTypeOf('number');
  });

  test.each([
    ['with jobs', insertAllKinds],
    ['without jobs', async () => {}],
    ['whose jobs are gone', (it: TestDatabase) => insertAllKinds(it).then(() => empty(it))],
    ['that nothing recorded', (it: TestDatabase) => it.query('drop table pgmigrations')],
  ])('keeps the type of ids in a table %s', async (_, prepare) => {
    await using database = await originalDatabase();
    await prepare(database);
    await cliOutput(['migrate'], database);
    expect(await idTypes(database)).toEqual(['integer', 'integer']);
    await insert(database, 'new');
    for (const { id } of await rows(database)) expect(id).toBeTypeOf('number');
    await cliOutput(['migrate', 'down', '2'], database);
    await cliOutput(['migrate'], database);
    expect(await idTypes(database)).toEqual(['integer', 'integer']);
  });

  test('is possible where the ids come from a sequence that is not owned by their column', async () => {
    await using database = await originalDatabase();
    await database.query(`
      alter table job_queue rename to old_queue;
      create table job_queue (like old_queue including all);
      drop table pgmigrations`);
    await cliOutput(['migrate'], database);
    await insert(database, 'a');
    expect(await runAll(database)).toEqual(['a']);
    await cliOutput(['migrate', 'down', '2'], database);
    await cliOutput(['migrate'], database);
    expect(await statuses(database)).toEqual({ a: 'completed' });
  });

  test('lets its jobs go on where they were', async () => {
    await using database = await originalDatabase();
    await insertAllKinds(database);
    await cliOutput(['migrate'], database);

    const ran = await runAll(database);
    expect(ran[0]).toBe('urgent');
    const becomes = Object.entries(kinds).map(([name, kind]) => [name, kind.becomes]);
    expect(await statuses(database)).toEqual(Object.fromEntries(becomes));
    expect(await runAll(database)).toEqual([]);

    const record = async (payload: string) =>
      (await rows(database)).find((row) => row.payload === payload);
    expect(await record('failed, due again')).toMatchObject({
      attempts: 2,
      error_history: [{ message: 'no' }],
    });
    expect(await record('pending without attempts left')).toMatchObject({
      attempts: 3,
      next_attempt_at: null,
    });
  });

  test('leaves stuck jobs to reclaimStuckJobs', async () => {
    await using database = await originalDatabase();
    await insertAllKinds(database);
    await cliOutput(['migrate'], database);
    await runAll(database);

    await using queue = await openQueue(database);
    expect(await queue.reclaimStuckJobs()).toBe(2);
    expect(await statuses(database)).toMatchObject({
      stuck: 'pending',
      'stuck in its last attempt': 'failed',
      running: 'processing',
    });
    expect(await runAll(database)).toEqual(['stuck']);
  });

  test('is possible with views on the table, though it be empty', async () => {
    await using database = await originalDatabase();
    await database.query(
      `create view open_jobs as select * from job_queue where status = 'pending'`,
    );
    await cliOutput(['migrate'], database);
    await insert(database, 'seen');
    expect(await database.query('select payload from open_jobs')).toEqual([{ payload: 'seen' }]);
    expect(await runAll(database)).toEqual(['seen']);
  });

  test('is possible with tables that refer to it', async () => {
    await using database = await originalDatabase();
    await database.query('create table report (job_id int references job_queue on delete cascade)');
    await cliOutput(['migrate'], database);
    await insert(database, 'a');
    await database.query('insert into report select id from job_queue');
    expect(await runAll(database)).toEqual(['a']);
    await database.query('delete from job_queue');
    expect(await database.query('select * from report')).toEqual([]);
  });

  test('is possible with the columns that later versions of the original added', async () => {
    await using database = await originalDatabase();
    await database.query(`
      alter table job_queue add column timeout_ms int, add column failure_reason varchar;
      insert into pgmigrations (name, run_on) values ('1751186053000_add_job_events', now());
      create table job_events (
        id serial primary key, job_id int not null references job_queue on delete cascade,
        event_type varchar(255) not null, created_at timestamptz default now(), metadata jsonb
      );
    `);
    await insert(database, 'limited', { timeout_ms: '1000' });
    await insert(database, 'unlimited');
    await database.query("insert into job_events (job_id, event_type) values (1, 'added')");
    await cliOutput(['migrate'], database);
    expect(await cliOutput(['migrate'], database)).toContain('Nothing to do');
    expect(await runAll(database)).toEqual(['limited', 'unlimited']);
    expect(await rows(database)).toMatchObject([
      { id: 1, timeout_ms: 1000, failure_reason: null },
      { id: 2, timeout_ms: null },
    ]);
    expect(await database.query('select job_id from job_events')).toEqual([{ job_id: 1 }]);
  });
});

describe("a table that is not the original's is left as it is", () => {
  const advice = /--schema NAME here and \{ schema: 'NAME' \} in initJobQueue/;

  test.each<[string, string, RegExp]>([
    [
      'an unrelated one',
      'create table job_queue (id uuid primary key, status text, payload json)',
      /another application's: it lacks .*\(attempts, created_at, .*updated_at\)/,
    ],
    [
      'one of the same columns but for a type',
      `create table job_queue (
        id serial primary key, job_type varchar(255) not null, payload text not null,
        status varchar(50), created_at timestamptz, updated_at timestamptz, locked_at timestamptz,
        locked_by varchar(255), attempts int, max_attempts int, next_attempt_at timestamptz,
        priority int, run_at timestamptz, pending_reason text, error_history jsonb
      )`,
      /another application's: it lacks .*\(payload\)/,
    ],
    [
      'a view',
      'create view job_queue as select 1 as id',
      /job_queue" exists, and is no plain table/,
    ],
    [
      'a partitioned one',
      'create table job_queue (id int) partition by range (id)',
      /job_queue" exists, and is no plain table/,
    ],
  ])('%s', async (_, table, message) => {
    await using database = await createDatabase({ migrated: false });
    await database.query(table);
    await expectRefusal(database, message);
  });

  test("dataqueue's", async () => {
    await using database = await originalDatabase();
    await insert(database, 'its own');
    // The columns of its migrations by which it is recognised.
    await database.query(`
      alter table job_queue add timeout_ms int, add failure_reason varchar, add completed_at timestamptz,
        add started_at timestamptz, add last_retried_at timestamptz, add last_failed_at timestamptz,
        add last_cancelled_at timestamptz, add tags text[], add force_kill_on_timeout boolean default false`);
    await expectRefusal(database, /is dataqueue's, and dataqueue cannot share it/);
    // It says what helps.
    await cliOutput(['migrate', '--schema', 'jobs'], database);
    expect(await statuses(database)).toEqual({ 'its own': 'pending' });
  });

  async function expectRefusal(database: TestDatabase, message: RegExp): Promise<void> {
    const before = await describeSchema(database.pool);
    const { code, stdout, stderr } = await cli(['migrate'], database);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(advice);
    await expect(database.query(await cliOutput(['migrate', '--print-sql']))).rejects.toThrow(
      message,
    );
    expect(await describeSchema(database.pool)).toBe(before);
  }

  test('columns of its owner do not make it another one', async () => {
    await using database = await originalDatabase();
    await insert(database, 'a');
    await database.query('alter table job_queue add tenant int, add completed_at timestamptz');
    await cliOutput(['migrate'], database);
    expect(await runAll(database)).toEqual(['a']);
    await cliOutput(['migrate', 'down'], database);
    await database.query('alter table job_queue add last_retried_at timestamptz');
    await cliOutput(['migrate'], database);
  });
});

describe("the original's SQL", () => {
  test('does what it did', async () => {
    await using database = await originalDatabase();
    await insertAllKinds(database);
    await cliOutput(['migrate'], database);
    await database.query('delete from job_queue where payload = \'"without run_at"\'');
    const code = new OriginalCode(database);
    const ran = await code.work();
    expect(ran).toContain('due');
    expect(ran).toContain('failed, due again');
    expect(ran).not.toContain('scheduled');
    expect(ran).not.toContain('pending without attempts left');

    await code.add('new');
    const [claimed] = await code.claim(1);
    expect(claimed).toMatchObject({ payload: 'new', status: 'processing', locked_by: 'original' });
    await code.fail(claimed?.id ?? 0, 'broke');
    const [row] = (await rows(database)).slice(-1);
    expect(row).toMatchObject({ status: 'failed', error_history: [{ message: 'broke' }] });
  });

  test('and the queue take over jobs from each other', async () => {
    await using database = await originalDatabase();
    await insert(database, 'first');
    await cliOutput(['migrate'], database);
    await using queue = await openQueue(database);
    const code = new OriginalCode(database);
    expect(await code.work()).toEqual(['first']);

    await code.add('by SQL');
    expect(await runAll(database)).toEqual(['by SQL']);
    await queue.addJob({ job_type: 'task', payload: 'by the queue' });
    expect(await code.work()).toEqual(['by the queue']);

    const id = await queue.addJob({ job_type: 'task', payload: 'a' });
    const set = (assignments: string) =>
      database.query(`update job_queue set ${assignments} where id = $1`, [id]);
    await code.claim(1);
    // A worker that claims without a lease is not timed by one.
    expect(await runAll(database)).toEqual([]);
    await code.fail(id, 'broke');
    expect(await runAll(database)).toEqual([]);
    await set('next_attempt_at = now()');
    expect(await runAll(database)).toEqual(['a']);

    await set("status = 'pending', attempts = 0");
    expect(await runAll(database)).toEqual(['a']);

    await set("status = 'pending', attempts = 0");
    await code.claim(1);
    await set("locked_at = now() - interval '1 hour'");
    await code.reclaim();
    expect(await runAll(database)).toEqual(['a']);
  });

  test('that cancels a running job is not overruled by its run', async () => {
    await using database = await originalDatabase();
    await insert(database, 'a');
    await cliOutput(['migrate'], database);
    await using queue = await openQueue(database);
    const onError = vi.fn();
    const task = async () => {
      await database.query("update job_queue set status = 'cancelled'");
    };
    expect(await queue.createProcessor({ task }, { onError }).start()).toBe(1);
    expect(await statuses(database)).toEqual({ a: 'cancelled' });
    expect(onError).toHaveBeenCalledWith(expect.objectContaining({ code: 'LEASE_LOST' }));
  });

  test('works while a processor runs: each job runs once', async () => {
    await using database = await originalDatabase();
    await insert(database, 'first');
    await cliOutput(['migrate'], database);
    await using queue = await openQueue(database);
    const code = new OriginalCode(database);
    const added = ['first'];
    for (let n = 0; n < 200; n++) {
      added.push(`${n}`);
      if (n % 2) await code.add(`${n}`);
      else await queue.addJob({ job_type: 'task', payload: `${n}` });
    }

    const ran: string[] = [];
    const onError = vi.fn();
    const task = async (payload: string) => void ran.push(payload);
    const processor = queue.createProcessor({ task }, { onError });
    processor.startInBackground();
    const ranByOriginal = await code.work();
    await until(async () => ran.length + ranByOriginal.length >= added.length);
    await processor.stopAndDrain();

    expect([...ran, ...ranByOriginal].sort()).toEqual(added.sort());
    expect(ran).not.toEqual([]);
    expect(ranByOriginal).not.toEqual([]);
    expect(new Set(Object.values(await statuses(database)))).toEqual(new Set(['completed']));
    expect(onError).not.toHaveBeenCalled();
  });

  test('works while the database is migrated: each job runs once', async () => {
    await using database = await originalDatabase();
    await database.query(
      `insert into job_queue (job_type, payload)
      select 'task', to_jsonb(n::text) from generate_series(1, 100) n`,
    );
    const code = new OriginalCode(database);
    const migrated = cliOutput(['migrate'], database);
    let added = 100;
    let done = false;
    migrated.finally(() => {
      done = true;
    });
    const ran = await code.work(async () => {
      if (!done) await code.add(`${++added}`);
    });
    await migrated;
    expect(done).toBe(true);
    expect(new Set(ran).size).toBe(ran.length);
    expect(ran).toHaveLength(added);
    expect(await runAll(database)).toEqual([]);
  });
});

describe('node-pg-migrate', () => {
  async function expectUpToDate(database: TestDatabase, ...args: string[]): Promise<void> {
    const output = await cliOutput(['migrate', ...args], database);
    expect(output).toContain('Nothing else to do: the schema is up to date.');
    expect(output.match(/^recognised /gm)).toHaveLength(migrations.length);
    expect(await cliOutput(['migrate', ...args], database)).toContain('Nothing to do');
  }

  test('brings a database of the original up to date', async () => {
    await using database = await originalDatabase();
    await insertAllKinds(database);
    const before = Object.keys(await statuses(database));
    expect(await nodePgMigrate(database.directUrl)).toEqual(ours);
    expect(Object.keys(await statuses(database))).toEqual(before);
    expect((await runAll(database))[0]).toBe('urgent');
    const state = await rows(database);
    await expectUpToDate(database);
    expect(await rows(database)).toEqual(state);
  });

  test('brings an empty database up to date', async () => {
    await using database = await createDatabase({ migrated: false });
    expect(await nodePgMigrate(database.directUrl)).toEqual(migrations);
    await insert(database, 'a');
    expect(await runAll(database)).toEqual(['a']);
    expect(await cliOutput(['migrate', 'status'], database)).toContain(
      `${migrations.length} of ${migrations.length} migrations applied.`,
    );
    await expectUpToDate(database);
    expect(await nodePgMigrate(database.directUrl)).toEqual([]);
  });

  test('in a schema of its own', async () => {
    const inJobs = { schema: 'jobs', createSchema: true };
    await using database = await originalDatabase(inJobs);
    expect(await nodePgMigrate(database.directUrl, inJobs)).toEqual(ours);
    await using queue = await openQueue(database, { schema: 'jobs' });
    await queue.addJob({ job_type: 'task', payload: 'a' });
    expect(await queue.createProcessor({ task: async () => {} }).start()).toBe(1);
    await expectUpToDate(database, '--schema', 'jobs');
  });

  test('run after the CLI, does no harm', async () => {
    await using database = await originalDatabase();
    await insertAllKinds(database);
    await cliOutput(['migrate'], database);
    await runAll(database);
    const [state, schema] = [await rows(database), await describeSchema(database.pool)];
    expect(await nodePgMigrate(database.directUrl)).toEqual(ours);
    expect(await rows(database)).toEqual(state);
    expect(await describeSchema(database.pool)).toBe(schema);
    expect(await cliOutput(['migrate'], database)).toContain('Nothing to do');
  });

  test('with records that the CLI does not find, does no harm', async () => {
    await using database = await createDatabase({ migrated: false });
    await nodePgMigrate(database.directUrl, { migrationsTable: 'migrations' });
    await insert(database, 'a');
    await insert(database, 'b', { run_at: "now() + interval '1 day'" });
    await runAll(database);
    const [state, schema] = [await rows(database), await describeSchema(database.pool)];
    expect(await cliOutput(['migrate'], database)).toContain('Done');
    expect(await rows(database)).toEqual(state);
    expect(await describeSchema(database.pool)).toBe(schema);
  });

  test('and the CLI can each revert what the other has applied', async () => {
    await using database = await createDatabase({ migrated: false });
    await nodePgMigrate(database.directUrl);
    await cliOutput(['migrate', 'down', '1000'], database);
    expect(await describeSchema(database.pool)).toBe('');
    expect(await nodePgMigrate(database.directUrl)).toEqual(migrations);
    await expectUpToDate(database);
    await nodePgMigrate(database.directUrl, { direction: 'down', count: 1000 });
    expect(await describeSchema(database.pool)).toBe('');
  });
});
