/** The jobs of one call that are enough to travel by `COPY`, in parts. */
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { JobOptions, JobQueue } from '../index.js';
import { useDatabase } from './helpers/database.js';
import { GIVEN_COLUMNS } from './helpers/given-columns.js';
import { openProxy } from './helpers/network.js';
import { openQueue, rejection, useQueue } from './helpers/queue.js';
import { PAYLOAD_MARKER } from './helpers/secrets.js';
import { until } from './helpers/until.js';

const database = useDatabase();
const queue = useQueue(database);

type Job = JobOptions<Record<string, unknown>>;

/** Two parts, and a few jobs of a third. */
const MANY = 10_007;

const jobs = (count = MANY, job: Partial<Job> = {}): Job[] =>
  Array.from({ length: count }, (_, n) => ({ job_type: 'batch', payload: { n }, ...job }));

async function count(): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    'select count(*)::int as count from job_queue',
  );
  return row?.count as number;
}

/** Runs `statement`, and `undo` when the test ends. */
async function during(statement: string, undo: string): Promise<void> {
  await database.query(statement);
  onTestFinished(async () => void (await database.query(undo)));
}

beforeEach(() => database.query('truncate job_queue'));

test('all come back as they were given, under ids in their order', async () => {
  const times = [
    null,
    new Date('2001-02-03T04:05:06.789Z'),
    new Date('-000043-03-15T12:00:00.123Z'),
  ];
  const given = Array.from({ length: 12_345 }, (_, n) => ({
    job_type: `type ${n % 7}`,
    payload: { n },
    max_attempts: 1 + (n % 5),
    priority: n - 6_000,
    run_at: times[n % 3],
    ...(n % 2 && { timeout_ms: n }),
  }));
  const ids = await queue.addJobs(given);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  const rows = await database.query<{ id: number; created_at: Date }>(
    `select id::int, job_type, payload, max_attempts, priority, run_at, timeout_ms, created_at,
      status, attempts, run_at = created_at as now
    from job_queue order by id`,
  );
  expect(rows).toEqual(
    given.map((job, n) => ({
      timeout_ms: null,
      ...job,
      id: ids[n],
      run_at: job.run_at ?? rows[n]?.created_at,
      now: job.run_at === null,
      created_at: expect.any(Date),
      status: 'pending',
      attempts: 0,
    })),
  );
});

test('every character arrives, also after a backslash', async () => {
  const characters = Array.from({ length: 0xffff }, (_, n) => n + 1)
    .filter((unit) => unit < 0xd800 || unit > 0xdfff)
    .map((unit) => String.fromCharCode(unit));
  const special = [
    '\\.',
    '\\N',
    '\\n',
    '\\\\',
    '\\x41',
    '\\101',
    '\t\\\t',
    '\r\n',
    '😀',
    'NULL',
    '',
  ];
  const texts = [...special, ...characters, ...characters.map((character) => `\\${character}`)];
  const size = 100;
  const given = Array.from({ length: Math.ceil(texts.length / size) }, (_, n) => {
    const text = texts.slice(n * size, (n + 1) * size).join('');
    return { job_type: text, payload: { [text]: text } };
  });
  expect(given.length).toBeGreaterThan(1_000);
  await queue.addJobs(given);
  expect(await database.query('select job_type, payload from job_queue order by id')).toEqual(
    given,
  );
});

test('who listens is told of them with the commit', async () => {
  const client = await database.pool.connect();
  onTestFinished(() => client.release(true));
  await client.query('listen pg_bg_job_queue');
  const told = new Promise((resolve) => client.once('notification', resolve));
  await queue.addJobs(jobs());
  expect(await told).toMatchObject({ payload: expect.stringContaining('"ready"') });
});

test('what the caller changes meanwhile is not seen', async () => {
  const given = jobs();
  const adding = queue.addJobs(given);
  for (const job of given) Object.assign(job, { job_type: 'changed', payload: 'changed' });
  given.length = 0;
  expect(await adding).toHaveLength(MANY);
  expect(await database.query('select job_type, payload from job_queue order by id')).toEqual(
    jobs(),
  );
});

test('while very many are made, the event loop goes on, and still all are added or none', async () => {
  let turns = 0;
  const seen = new Set<number>();
  const turning = setInterval(() => turns++, 1);
  onTestFinished(() => clearInterval(turning));
  const payload = { toJSON: () => seen.add(turns).size };
  const given = jobs(200_000, { payload });
  const faulty = [...given, { job_type: 'batch', payload: 1n }];
  await rejection(queue.addJobs(faulty), 'INVALID_PAYLOAD', /jobs\[200000\]/);
  expect(seen.size).toBeGreaterThan(3);
  expect(await count()).toBe(0);
  expect(await queue.addJobs(given)).toHaveLength(given.length);
  expect(await count()).toBe(given.length);
}, 60_000);

test('over a single connection several batches and jobs are added', async () => {
  await using narrow = await openQueue(database, { databaseConfig: { max: 1 } });
  const [ids, id, others] = await Promise.all([
    narrow.addJobs(jobs()),
    narrow.addJob({ job_type: 'batch', payload: {} }),
    narrow.addJobs(jobs()),
  ]);
  expect(new Set([...ids, id, ...others]).size).toBe(2 * MANY + 1);
  expect(await count()).toBe(2 * MANY + 1);
});

describe('none is added', () => {
  /** After it, the queue and its connections are good for more. */
  async function expectNothing(): Promise<void> {
    expect(await count()).toBe(0);
    expect(await queue.addJobs(jobs(1_001))).toHaveLength(1_001);
    expect(await queue.addJob({ job_type: 'batch', payload: {} })).toBeGreaterThan(0);
    expect(await count()).toBe(1_002);
    // What was broken off is rolled back behind the caller's back.
    const isOver = async () => {
      const open = await database.query(
        `select from pg_stat_activity
        where datname = current_database() and state like 'idle in transaction%'`,
      );
      return open.length === 0;
    };
    await until(isOver);
  }

  test.each([0, 4_999, MANY - 1])('if there is a fault in job %i', async (at) => {
    const given = jobs();
    given[at] = { job_type: 'batch', payload: { text: '\0' } };
    await rejection(
      queue.addJobs(given),
      'INVALID_PAYLOAD',
      `jobs[${at}]`.replace(/[[\]]/g, '\\$&'),
    );
    await expectNothing();
  });

  test('if Postgres refuses a row, and the error is as of a few jobs', async () => {
    await during(
      'alter table job_queue add constraint no_sevens check (priority <> -7)',
      'alter table job_queue drop constraint no_sevens',
    );
    const faulty = { job_type: 'batch', payload: { secret: PAYLOAD_MARKER }, priority: -7 };
    const few = await rejection(queue.addJobs([...jobs(2), faulty]), 'DATABASE_ERROR');
    const many = await rejection(queue.addJobs([...jobs(), faulty]), 'DATABASE_ERROR');
    const { message, sqlState, cause } = few;
    expect(many).toMatchObject({ message, sqlState });
    expect(many.cause).toEqual(cause);
    await expectNothing();
  });

  test('if a trigger keeps one of them out', async () => {
    await during(
      `create function keep_out() returns trigger language plpgsql as $$ begin return null; end $$;
      create trigger keep_out before insert on job_queue
        for each row when (new.priority = 7) execute function keep_out()`,
      'drop function keep_out cascade',
    );
    const given = [...jobs(), { job_type: 'batch', payload: {}, priority: 7 }];
    await rejection(queue.addJobs(given), 'DATABASE_ERROR', 'no job was added');
    await expectNothing();
  });

  test('if the commit is refused', async () => {
    await during(
      `create function refuse() returns trigger language plpgsql as
        $$ begin raise 'the commit is refused'; end $$;
      create constraint trigger refuse after insert on job_queue deferrable initially deferred
        for each row when (new.priority = 7) execute function refuse()`,
      'drop function refuse cascade',
    );
    const given = [...jobs(), { job_type: 'batch', payload: {}, priority: 7 }];
    const error = await rejection(queue.addJobs(given), 'DATABASE_ERROR', 'a trigger');
    expect(error.sqlState).toBe('P0001');
    await expectNothing();
  });

  test('if the connection breaks in their midst', async () => {
    await using proxy = await openProxy(database.config);
    await using cut = await openQueue(database, { databaseConfig: proxy.address });
    const client = await database.pool.connect();
    onTestFinished(() => client.release());
    await client.query('begin; lock table job_queue in exclusive mode');
    const rejected = rejection(cut.addJobs(jobs()), 'CONNECTION_FAILED');
    await until(async () => {
      const waiting = await database.query(
        `select from pg_stat_activity where query ilike 'copy %' and wait_event_type = 'Lock'
        and datname = current_database()`,
      );
      return waiting.length === 1;
    });
    proxy.cut();
    await rejected;
    await client.query('commit');
    expect(await cut.addJobs(jobs(1_001))).toHaveLength(1_001);
    expect(await count()).toBe(1_001);
  });
});

test('what Postgres undoes for the sake of another transaction is sent again', async () => {
  await during(
    // A sequence is not undone with the transaction.
    `create sequence tries;
    create function conflict() returns trigger language plpgsql as $$ begin
      if nextval('tries') < 3 then raise 'a conflict' using errcode = '40001'; end if;
      return new;
    end $$;
    create trigger conflict before insert on job_queue
      for each row when (new.priority = 7) execute function conflict()`,
    'drop function conflict cascade; drop sequence tries',
  );
  const ids = await queue.addJobs([...jobs(), { job_type: 'batch', payload: {}, priority: 7 }]);
  const rows = await database.query<{ id: number }>('select id::int from job_queue order by id');
  expect(rows.map(({ id }) => id)).toEqual(ids);
});

test.each<[string, string[]]>([
  [
    'the rows of which are secured',
    [
      'grant insert, select (id) on job_queue to {role}',
      'alter table job_queue enable row level security',
      `create policy mine on job_queue to {role} using (true) with check (priority = 0)`,
    ],
  ],
  [
    'in which it may not set ids',
    [
      `grant insert (${GIVEN_COLUMNS}), select (id)
        on job_queue to {role}`,
    ],
  ],
])('a role adds them to a table %s', async (_, statements) => {
  const role = `adder_${randomUUID().replaceAll('-', '')}`;
  await during(
    `create role ${role} login password 'secret'`,
    `drop policy if exists mine on job_queue; alter table job_queue disable row level security;
    drop owned by ${role}; drop role ${role}`,
  );
  await database.query(`grant usage on sequence job_queue_id_seq to ${role}`);
  for (const statement of statements) await database.query(statement.replace('{role}', role));
  await using limited: JobQueue = await openQueue(database, {
    pooler: undefined,
    databaseConfig: { ...database.directConfig, user: role, password: 'secret' },
  });
  const ids = await limited.addJobs(jobs());
  const rows = await database.query<{ id: number }>('select id::int from job_queue order by id');
  expect(rows.map(({ id }) => id)).toEqual(ids);
  const refused = [...jobs(), { job_type: 'batch', payload: {}, priority: 2 ** 31 - 1 }];
  if (statements.length > 1) await rejection(limited.addJobs(refused), 'DATABASE_ERROR', 'policy');
  expect(await count()).toBe(MANY);
});
