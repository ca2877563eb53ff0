import { describe, expect, test } from 'vitest';
import type { JobQueue } from '../index.js';
import { cliOutput } from './helpers/cli.js';
import { administer } from './helpers/database.js';
import { GIVEN_COLUMNS } from './helpers/given-columns.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { behindPooler } from './helpers/modes.js';
import { openQueue } from './helpers/queue.js';

const jobs = useJobs();

interface Case {
  job_type?: unknown;
  payload?: unknown;
  max_attempts?: unknown;
  priority?: unknown;
  run_at?: Date | null;
  timeout_ms?: unknown;
}

/** `add_job`, given what `addJob` is given. */
async function addFromSql(job: Case): Promise<number> {
  const { job_type, payload, ...rest } = job;
  const given = Object.entries(rest);
  const named = given.map(([name], at) => `, ${name} => $${at + 3}`).join('');
  const [row] = await jobs.database.query<{ id: string }>(`select add_job($1, $2${named}) as id`, [
    job_type,
    JSON.stringify(payload),
    ...given.map(([, value]) => value),
  ]);
  return Number(row?.id);
}

const apis: [string, (queue: JobQueue, job: Case) => Promise<number>][] = [
  ['addJob', (queue, job) => queue.addJob(job as never)],
  ['add_job', (_, job) => addFromSql(job)],
];

describe('addJob and add_job store the same', () => {
  test.each<[string, Case]>([
    ['all defaults', { payload: { to: 'a@b.c' } }],
    ['every option', { payload: [1], max_attempts: 7, priority: -5, timeout_ms: 900 }],
    ['a due time', { payload: 'x', run_at: new Date(Date.UTC(2031, 1, 2, 3, 4, 5, 678)) }],
    ['no due time', { payload: 1.5, run_at: null }],
    ['no time limit', { payload: true, timeout_ms: null }],
    ['the JSON value null', { payload: null }],
    ['the longest type', { job_type: '😀'.repeat(255), payload: {} }],
    ['the greatest numbers', { payload: {}, max_attempts: 2147483647, priority: 2147483647 }],
    ['the least numbers', { payload: {}, max_attempts: 1, priority: -2147483648, timeout_ms: 1 }],
  ])('%s', async (_, fields) => {
    const queue = await jobs.openQueue();
    const rows = [];
    for (const [, add] of apis) {
      const id = await add(queue, { job_type: 'job', ...fields });
      const { id: _id, created_at, updated_at, run_at, ...row } = await jobs.row(id);
      expect(updated_at).toEqual(created_at);
      // Where no time is given, it is that of the insert.
      const times = { run_at: fields.run_at ?? null, ready_at: fields.run_at ?? null };
      if (!fields.run_at) expect(run_at).toEqual(created_at);
      rows.push({ ...row, ...times });
    }
    expect(rows[0]).toEqual(rows[1]);
  });
});

describe('addJob and add_job refuse the same', () => {
  test.each<[string, Case]>([
    ['no type', { job_type: null }],
    ['an empty type', { job_type: '' }],
    ['a type that is too long', { job_type: 'x'.repeat(256) }],
    ['no payload', { payload: undefined }],
    ['max_attempts of 0', { max_attempts: 0 }],
    ['no max_attempts', { max_attempts: null }],
    ['no priority', { priority: null }],
    ['timeout_ms of 0', { timeout_ms: 0 }],
  ])('%s', async (_, fields) => {
    const queue = await jobs.openQueue();
    const job = { job_type: 'job', payload: {}, ...fields };
    await expect(queue.addJob(job as never)).rejects.toMatchObject({
      code: expect.stringMatching(/^INVALID_(ARGUMENT|PAYLOAD)$/),
    });
    await expect(addFromSql(job)).rejects.toMatchObject({
      code: '22023',
      message: expect.stringMatching(/^add_job: \w+ must /),
    });
    expect(await jobs.rows()).toEqual([]);
  });

  test('a payload that is more text than one may be', async () => {
    const bytes = 64 * 1024 * 1024;
    const add = (length: number) =>
      jobs.database.query(`select add_job('job', to_jsonb(repeat('x', $1)))`, [length - 2]);
    await add(bytes);
    await expect(add(bytes + 1)).rejects.toMatchObject({
      code: '22023',
      message: 'add_job: payload must be at most 67108864 bytes of text',
    });
  });

  // Ninety kilobytes of text in, more than a gigabyte out.
  const amplified = `('[' || repeat('1e131071,', 10000) || '1]')::jsonb`;
  test('a payload that Postgres cannot write', { timeout: 120_000 }, async () => {
    await expect(jobs.database.query(`select add_job('job', ${amplified})`)).rejects.toMatchObject({
      code: '22023',
      message: expect.stringMatching(/^add_job: payload/),
    });
    expect(await jobs.rows()).toEqual([]);
  });

  /** An array in an array in an array, so many times. */
  const nested = (levels: number) =>
    Array.from({ length: levels }).reduce((inner: unknown) => [inner], 1);
  test('a payload that is nested too deeply', async () => {
    const queue = await jobs.openQueue();
    for (const [, add] of apis) await add(queue, { job_type: 'job', payload: nested(4_000) });
    // `JSON.stringify` is at its end between the two, by how much stack is left to it.
    await expect(
      queue.addJob({ job_type: 'job', payload: nested(20_000) } as never),
    ).rejects.toMatchObject({ code: 'INVALID_PAYLOAD' });
    const inSql = (levels: number) =>
      jobs.database.query(
        `select add_job('job', (repeat('[', $1::int) || '1' || repeat(']', $1::int))::jsonb)`,
        [levels],
      );
    await expect(inSql(4_001)).rejects.toMatchObject({
      code: '22023',
      message: 'add_job: payload must be nested at most 4000 levels deep',
    });
    expect(await jobs.rows()).toHaveLength(2);
  });

  test('an array of too many members', async () => {
    const most = 2 ** 23;
    const queue = await jobs.openQueue();
    const add = (members: number) =>
      jobs.database.query(
        `select add_job('job', jsonb_build_object('some', array_fill(1, array[$1::int])))`,
        [members],
      );
    await add(most);
    await expect(add(most + 1)).rejects.toMatchObject({
      code: '22023',
      message: 'add_job: payload must have at most 8388608 members in an array',
    });
    const payload = { some: new Array(most + 1).fill(1) };
    await expect(queue.addJob({ job_type: 'job', payload } as never)).rejects.toMatchObject({
      code: 'INVALID_PAYLOAD',
    });
  });

  test.each(['infinity', '-infinity'])('a due time of %s', async (run_at) => {
    await expect(
      jobs.database.query(`select add_job('job', '1', run_at => $1)`, [run_at]),
    ).rejects.toMatchObject({ code: '22023', message: 'add_job: run_at must be finite' });
  });
});

describe('add_job', () => {
  test("lets the table's triggers find what they found before", async () => {
    await jobs.database.query(`
      create function stamp() returns text language sql as $$ select 'stamped' $$;
      create function stamped() returns trigger language plpgsql as $$
      begin
        new.pending_reason := stamp();
        return new;
      end $$;
      create trigger stamped before insert on job_queue
        for each row execute function stamped()`);
    try {
      await jobs.database.query(`select add_job('job', '1')`);
      expect(await jobs.rows()).toMatchObject([{ pending_reason: 'stamped' }]);
    } finally {
      await jobs.database.query('drop function stamped cascade; drop function stamp');
    }
  });

  test('is called as the documentation says', async () => {
    await jobs.database.query(
      `select add_job('send_email', '{"to":"a@b.c"}', priority => 10,
        run_at => now() + interval '5 minutes')`,
    );
    expect(await jobs.rows()).toMatchObject([
      { job_type: 'send_email', payload: { to: 'a@b.c' }, priority: 10, status: 'pending' },
    ]);
  });

  const pooled = behindPooler('to listen takes a session');
  test.skipIf(pooled)(
    'adds in the transaction of a trigger, and wakes an idle worker by its commit',
    async () => {
      await jobs.database.query(`
      create table orders (id int primary key, email text);
      create function order_placed() returns trigger language plpgsql as $$
      begin
        perform add_job('job', jsonb_build_object('order', new.id));
        return new;
      end $$;
      create trigger order_placed after insert on orders
        for each row execute function order_placed()`);
      const queue = await jobs.openQueue({ databaseConfig: { max: 2 } });
      const journal = new Journal<unknown>();
      queue
        .createProcessor(
          { job: async (payload: unknown) => journal.note(payload) },
          { pollInterval: 600_000 },
        )
        .startInBackground();
      // Once it listens, it has looked for the last time.
      await jobs.statements('pg-bg-job-queue', 1);
      const client = await jobs.database.pool.connect();
      try {
        await client.query(`begin; insert into orders values (1, 'a@b.c'); rollback`);
        await client.query(`begin; insert into orders values (2, 'a@b.c'); commit`);
      } finally {
        client.release();
      }
      await journal.reaches(1);
      expect(journal.notes).toEqual([{ order: 2 }]);
      await jobs.database.query('drop table orders; drop function order_placed');
    },
  );

  test("belongs to its schema, and finds nothing of its caller's", async () => {
    const schema = 'sql "jobs"';
    await cliOutput(['migrate', '--schema', schema], { url: jobs.database.url });
    const queue = await openQueue(jobs.database, { schema });
    try {
      const client = await jobs.database.pool.connect();
      try {
        // A table of the same name that the caller's own path would find first.
        await client.query('create temp table job_queue (like public.job_queue)');
        await client.query(`set search_path = pg_temp, public`);
        await client.query(`select "sql ""jobs""".add_job('job', '{"n": 1}')`);
        expect((await client.query('select from job_queue')).rows).toHaveLength(0);
      } finally {
        client.release(true);
      }
      expect(await queue.getAllJobs()).toMatchObject([{ job_type: 'job', payload: { n: 1 } }]);
      expect(await jobs.rows()).toEqual([]);
    } finally {
      await queue.close();
    }
  });

  test('runs with the rights of its caller, who needs to be able to insert, and no more', async () => {
    await jobs.database.query(`
      create role sql_adder login password 'adds';
      create role sql_stranger login password 'strange';
      grant usage on schema public to sql_adder, sql_stranger;
      grant insert (${GIVEN_COLUMNS}), select (id)
        on job_queue to sql_adder;
      grant usage on sequence job_queue_id_seq to sql_adder`);
    const url = (user: string, password: string) =>
      Object.assign(new URL(jobs.database.directUrl), {
        username: user,
        password,
      }).href;
    try {
      await administer(url('sql_adder', 'adds'), `select add_job('job', '1')`);
      expect(await jobs.rows()).toHaveLength(1);
      await expect(
        administer(url('sql_stranger', 'strange'), `select add_job('job', '1')`),
      ).rejects.toMatchObject({ code: '42501' });
    } finally {
      await jobs.database.query(`
        drop owned by sql_adder, sql_stranger;
        drop role sql_adder, sql_stranger`);
    }
  });
});
