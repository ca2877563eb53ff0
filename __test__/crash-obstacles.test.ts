import { once } from 'node:events';
import { connect } from 'node:net';
import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { auditTables } from './crash/audit.js';
import { putUp, sqlStates, type Transition, takeDown } from './crash/obstacles.js';
import { Random } from './crash/random.js';
import { useDatabase } from './helpers/database.js';
import { openProxy, openServer } from './helpers/network.js';

/** The obstacles of the crash test meet the workers, and nobody else. */
const database = useDatabase();
let pool: Pool;

const by = async (name: string, statement: string) => {
  await pool.query(`set application_name = '${name}'`);
  try {
    return await pool.query(statement);
  } finally {
    await pool.query(`set application_name = 'runner'`);
  }
};
const running = `
  update job_queue
  set status = 'processing', run_no = 1, attempts = 1, lease_expires_at = now() + interval '1 second'`;

beforeAll(async () => {
  // One connection, so that its name can be changed from statement to statement.
  pool = new Pool({ connectionString: database.url, max: 1 });
  await pool.query(auditTables);
  await putUp(pool, new Random(1), new Set());
});
afterAll(() => pool.end());
beforeEach(async () => {
  await pool.query(
    'truncate job_queue, ledger, refusal, slowness, keepsake, visit restart identity',
  );
  await pool.query(`insert into job_queue (job_type, payload) values ('job', '{"key": "a"}')`);
});

const changes: Record<Transition, string> = {
  claim: `set status = 'processing', run_no = run_no + 1, attempts = attempts + 1`,
  count: 'set attempts = attempts + 1',
  complete: `set status = 'completed', lease_expires_at = null`,
  fail: `set status = 'failed', lease_expires_at = null`,
  'hand back': `set status = 'pending', attempts = attempts - 1, lease_expires_at = null`,
  recover: `set status = 'pending', run_no = run_no + 1, lease_expires_at = null`,
  extend: `set lease_expires_at = lease_expires_at + interval '1 second'`,
  delete: '',
};

test.each(Object.entries(changes))('a worker is refused: %s', async (transition, change) => {
  if (transition !== 'claim') await pool.query(running);
  const statement = change ? `update job_queue ${change}` : 'delete from job_queue';
  for (const state of sqlStates) {
    await pool.query('truncate refusal');
    const others = Object.keys(changes).filter((name) => name !== transition);
    await pool.query(
      `insert into refusal select 1, other, 'P0002', 'infinity' from unnest($1::text[]) other`,
      [others],
    );
    await pool.query(
      `insert into refusal values (1, $1, $2, 'infinity'), (2, $1, 'P0002', 'infinity')`,
      [transition, state],
    );
    await expect(by('worker-1', statement)).rejects.toMatchObject({ code: state });
  }
  await pool.query(`update refusal set until = now() where transition = '${transition}'`);
  expect((await by('worker-1', statement)).rowCount).toBe(1);
});

test('nobody but workers is refused', async () => {
  await pool.query(`insert into refusal values (1, 'claim', 'P0001', 'infinity')`);
  expect((await by('monkey', running)).rowCount).toBe(1);
});

test('one job in a hundred is refused something for 2 to 20 s, until that is taken down', async () => {
  const add = (prefix: string) =>
    pool.query(`
      insert into job_queue (job_type, payload)
      select 'job', jsonb_build_object('key', '${prefix}' || n) from generate_series(1, 5000) n`);
  await add('b');
  const { rows } = await pool.query<{ count: number; transitions: number; states: number }>(`
    select count(*)::int, count(distinct transition)::int as transitions,
      count(distinct sqlstate)::int as states, min(until) > now() + interval '1 second' as long,
      max(until) < now() + interval '25 seconds' as bounded
    from refusal`);
  expect(rows[0]).toMatchObject({ transitions: 8, states: 4, long: true, bounded: true });
  expect(rows[0]?.count).toBeGreaterThan(20);
  expect(rows[0]?.count).toBeLessThan(100);
  await takeDown(pool, new Set());
  await add('c');
  expect((await pool.query('select from refusal')).rowCount).toBe(0);
});

test('a slow worker waits before its statements and after them, and nobody else does', async () => {
  await pool.query(`insert into slowness values ('worker-1', 1, 0.5, 'infinity')`);
  const waits = async (name: string) => {
    await by(name, 'update job_queue set priority = 1');
    const { rows } = await pool.query(`
      select current_setting('crash_test.BEFORE', true) as before,
        current_setting('crash_test.AFTER', true) as after`);
    return rows[0];
  };
  expect(await waits('monkey')).toEqual({ before: null, after: null });
  expect(await waits('worker-2')).toEqual({ before: null, after: null });
  expect(await waits('worker-1')).toEqual({
    before: expect.stringMatching(/^BEFORE/),
    after: expect.stringMatching(/^AFTER/),
  });
});

test('one job in fifty is kept from removal', async () => {
  await pool.query(`
    insert into job_queue (job_type, payload)
    select 'job', jsonb_build_object('key', 'd' || n) from generate_series(1, 1000) n`);
  const kept = await pool.query('select from keepsake');
  expect(kept.rowCount).toBeGreaterThan(5);
  expect(kept.rowCount).toBeLessThan(60);
  const remove = 'delete from job_queue where id in (select job_id from keepsake)';
  await expect(by('worker-1', remove)).rejects.toMatchObject({ code: '23503' });
});

test('only one twin of a name may wait, or wait or run', async () => {
  const addTwin = (key: string, of: string) => `
    insert into job_queue (job_type, payload) values ('twin', '{"key": "${key}", "${of}": "one"}')`;
  const refused = { code: '23505' };
  await pool.query(addTwin('e', 'waiting'));
  await expect(pool.query(addTwin('f', 'waiting'))).rejects.toMatchObject(refused);
  await pool.query(addTwin('g', 'open'));
  await pool.query(`update job_queue set status = 'processing' where job_type = 'twin'`);
  await pool.query(addTwin('f', 'waiting'));
  await expect(pool.query(addTwin('h', 'open'))).rejects.toMatchObject(refused);
  await pool.query(`update job_queue set status = 'failed' where job_type = 'twin'`);
  await pool.query(addTwin('h', 'open'));
});

test('a line that lags delays what is said in either direction, and keeps its order', async () => {
  await using server = await openServer((socket) => socket.pipe(socket));
  await using proxy = await openProxy(server.address);
  const socket = connect(proxy.address.port, proxy.address.host);
  const echo = async (text: string) => {
    const before = performance.now();
    socket.write(text);
    let heard = '';
    while (heard.length < text.length) heard += String((await once(socket, 'data'))[0]);
    return { heard, ms: performance.now() - before };
  };
  await echo('hello');
  const lags = [150, 0];
  proxy.delay(() => lags.shift() ?? 0);
  const answer = echo('first');
  socket.write('second');
  expect((await answer).ms).toBeGreaterThan(140);
  expect((await answer).heard).toMatch(/^first/);
  proxy.hurry();
  socket.destroy();
});
