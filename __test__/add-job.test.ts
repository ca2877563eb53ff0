import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { currentJob, type JobOptions } from '../index.js';
import { useDatabase } from './helpers/database.js';
import { openQueue, rejection, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

/** Of a task that has everything but what matters. */
type Fields = Partial<JobOptions<Record<string, unknown>>>;
const add = (fields: Fields = {}) => queue.addJob({ job_type: 'task', payload: {}, ...fields });

/** What is asked for is now, by the database's clock, which need not be this process's. */
async function clockAround<T>(act: () => Promise<T>): Promise<[T, Date, Date]> {
  const clock = async () => {
    // Records are cut to the millisecond.
    const [row] = await database.query<{ now: Date }>(
      `select date_trunc('milliseconds', clock_timestamp()) as now`,
    );
    return row?.now as Date;
  };
  const before = await clock();
  const result = await act();
  return [result, before, await clock()];
}

const count = async () => (await queue.getAllJobs(1000)).length;

beforeEach(() => database.query('truncate job_queue'));

describe('a job that is added', () => {
  test('has an id that is a number, each another one', async () => {
    const ids = [await add(), await add(), await add()];
    expect(ids.every(Number.isSafeInteger)).toBe(true);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  });

  test('is there for everyone as soon as addJob resolves', async () => {
    const id = await add();
    expect(await database.query('select 1 from job_queue where id = $1', [id])).toHaveLength(1);
  });

  test('is refused if Postgres refuses the commit', async () => {
    await database.query(`
      create function refuse() returns trigger language plpgsql as
        $$ begin raise 'the commit is refused'; end $$;
      create constraint trigger refuse after insert on job_queue
        deferrable initially deferred for each row execute function refuse()`);
    try {
      const error = await rejection(add(), 'DATABASE_ERROR', 'a trigger');
      expect(error.sqlState).toBe('P0001');
    } finally {
      await database.query('drop function refuse cascade');
    }
    expect(await count()).toBe(0);
  });

  test('is pending, with three attempts, priority 0 and due now', async () => {
    const [id, before, after] = await clockAround(() =>
      queue.addJob({ job_type: 'email', payload: { to: 'a@b.c' } }),
    );
    const job = await queue.getJob(id);
    expect(job).toEqual({
      id,
      job_type: 'email',
      payload: { to: 'a@b.c' },
      status: 'pending',
      created_at: job?.run_at,
      updated_at: job?.run_at,
      locked_at: null,
      locked_by: null,
      attempts: 0,
      max_attempts: 3,
      next_attempt_at: null,
      priority: 0,
      run_at: expect.any(Date),
      pending_reason: null,
      timeout_ms: null,
      retry_delay_ms: null,
      retry_factor: null,
      retry_max_delay_ms: null,
      dead_letter_job_type: null,
      idempotency_key: null,
      idempotency_hold: null,
      started_at: null,
      completed_at: null,
      failure_reason: null,
      snoozes: 0,
      cancel_requested_at: null,
      error_history: [],
    });
    expect(job?.run_at?.getTime()).toBeGreaterThanOrEqual(before.getTime());
    expect(job?.run_at?.getTime()).toBeLessThanOrEqual(after.getTime());
  });

  test.each([
    ['undefined', { max_attempts: undefined, priority: undefined, run_at: undefined }],
    ['null, for run_at', { run_at: null }],
  ])('has the same defaults where an option is %s', async (_, fields) => {
    const [id, before, after] = await clockAround(() => add(fields));
    const job = await queue.getJob(id);
    expect(job).toMatchObject({ max_attempts: 3, priority: 0 });
    expect(job?.run_at?.getTime()).toBeGreaterThanOrEqual(before.getTime());
    expect(job?.run_at?.getTime()).toBeLessThanOrEqual(after.getTime());
  });

  test.each([
    ['in the past', '2001-02-03T04:05:06.789Z'],
    ['in the future', '2101-02-03T04:05:06.001Z'],
    ['before 1970', '1969-12-31T23:59:59.999Z'],
    ['at the epoch', '1970-01-01T00:00:00.000Z'],
    ['before Christ', '-000043-03-15T12:00:00.123Z'],
    ['as late as a Date goes', '+275760-09-13T00:00:00.000Z'],
  ])('keeps its time to the millisecond: %s', async (_, time) => {
    const id = await add({ run_at: new Date(time) });
    expect((await queue.getJob(id))?.run_at?.toISOString()).toBe(time);
  });

  test.each<[string, Fields]>([
    ['the lowest priority', { priority: -2147483648 }],
    ['the highest priority', { priority: 2147483647 }],
    ['a single attempt', { max_attempts: 1 }],
    ['the most attempts', { max_attempts: 2147483647 }],
    ['the longest type', { job_type: 'x'.repeat(255) }],
    ['the longest type, of characters outside the basic plane', { job_type: '😀'.repeat(255) }],
    ['a type that looks like SQL', { job_type: `'); drop table job_queue; --` }],
  ])('may have %s', async (_, fields) => {
    expect(await queue.getJob(await add(fields))).toMatchObject(fields);
  });
});

describe('a payload', () => {
  class Money {
    constructor(private readonly amount: string) {}
    toJSON() {
      return { amount: this.amount, currency: 'EUR' };
    }
  }

  const nested = (depth: number): unknown => (depth === 0 ? 'core' : [nested(depth - 1)]);

  test.each<[string, unknown]>([
    ['an object', { to: 'a@b.c', tags: ['x', 'y'], nested: { deep: [1, 2.5, -1e21, null] } }],
    ['an array', [1, 'two', null, [true]]],
    ['an empty object', {}],
    ['an empty array', []],
    ['a string', 'text'],
    ['an empty string', ''],
    ['a string that looks like JSON', '{"a": [1]}'],
    ['a number', 42],
    ['the extremes of numbers', [Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53, 0.1 + 0.2, -0]],
    ['true', true],
    ['false', false],
    ['null', null],
    ['a Date', { at: new Date(0), list: [new Date('2030-01-02T03:04:05.678Z')] }],
    ['toJSON', { price: new Money('1.00') }],
    ['what JSON leaves out', { a: undefined, b: () => 1, c: [undefined, Symbol('x'), Number.NaN] }],
    ['characters of all kinds', { 'käse 😀': '👩‍👩‍👧 𝒳 \u0001\b\t\n"\\/\u2028', '': '\\u0000' }],
    ['the key __proto__', JSON.parse('{ "__proto__": { "a": 1 } }')],
    ['a million characters', { text: 'ä'.repeat(1e6) }],
    ['ten thousand members', Array.from({ length: 1e4 }, (_, i) => ({ i }))],
    ['a thousand levels', nested(1000)],
  ])('comes back as JSON carries it: %s', async (_, payload) => {
    const id = await add({ payload });
    expect((await queue.getJob(id))?.payload).toEqual(JSON.parse(JSON.stringify(payload)));
  });

  test('keys come back in the order of jsonb, the shortest first, and a string as it was', async () => {
    const signed = JSON.stringify({ total: 7, id: 1 });
    const id = await add({ payload: { signed, total: 7, id: 1 } });
    const payload = (await queue.getJob(id))?.payload;
    expect(JSON.stringify(payload)).toBe(JSON.stringify({ id: 1, total: 7, signed }));
  });

  test('is the same for whoever reads the job and for its handler, whatever JSON it is', async () => {
    const character = fc.string({ unit: 'binary', minLength: 1, maxLength: 1 });
    const payloads = fc.array(
      fc.jsonValue({ stringUnit: character.filter((unit) => unit !== '\0') }),
      { minLength: 1, maxLength: 50 },
    );
    const handled = new Map<number, unknown>();
    const processor = queue.createProcessor(
      { task: async (payload) => void handled.set(currentJob().id, payload) },
      { batchSize: 50, concurrency: 50 },
    );
    const run = async (given: unknown[]) => {
      const expected = given.map((payload) => JSON.parse(JSON.stringify(payload)));
      const ids = await Promise.all(given.map((payload) => add({ payload })));
      const records = await Promise.all(ids.map((id) => queue.getJob(id)));
      expect(records.map((job) => job?.payload)).toEqual(expected);
      expect(await processor.start()).toBe(given.length);
      expect(ids.map((id) => handled.get(id))).toEqual(expected);
    };
    await fc.assert(fc.asyncProperty(payloads, run), { numRuns: 20 });
  });

  const cycle: Record<string, unknown> = {};
  cycle.list = [{ self: cycle }];

  test.each<[string, unknown, RegExp]>([
    ['undefined', undefined, /payload must be a JSON value, got undefined/],
    ['a function', () => 1, /payload must be a JSON value, got a function/],
    ['a symbol', Symbol('x'), /payload must be a JSON value, got a symbol/],
    ['nothing, by its own toJSON', { toJSON: () => undefined }, /payload must be a JSON value/],
    ['a cycle', cycle, /payload\.list\[0\]\.self is a cycle/],
    ['a BigInt', 1n, /payload is a BigInt/],
    ['a BigInt inside', { sums: [0, 1n] }, /payload\.sums\[1\] is a BigInt/],
    ['\\u0000 in a text', { a: ['x\0y'] }, /payload\.a\[0\] holds \\u0000/],
    ['\\u0000 in a key', { a: { 'x\0y': 1 } }, /a key of payload\.a holds \\u0000/],
    ['a lone surrogate in a text', { a: '\ud800' }, /payload\.a holds a lone surrogate/],
    ['a lone surrogate in a key', { '\udc00': 1 }, /a key of payload holds a lone surrogate/],
    ['a toJSON that throws', { at: new Date(0), bad: { toJSON: () => missing() } }, /payload\.bad/],
  ])('that Postgres or JSON cannot hold is refused: %s', async (_, payload, message) => {
    await rejection(add({ payload }), 'INVALID_PAYLOAD', message);
    expect(await count()).toBe(0);
  });

  const missing = () => {
    throw new TypeError('no');
  };
});

describe('bad input names its field and writes nothing', () => {
  const job = { job_type: 'task', payload: {} };

  test.each<[unknown, string]>([
    [undefined, 'job must be an object, got undefined'],
    [{ payload: {} }, 'job_type must be a string of 1 to 255 characters, got undefined'],
    [{ ...job, job_type: '' }, 'job_type must be a string of 1 to 255 characters'],
    [{ ...job, job_type: 'x'.repeat(256) }, 'job_type must be a string of 1 to 255 characters'],
    [{ ...job, job_type: 'a\0b' }, 'job_type holds \\u0000'],
    [{ ...job, priority: 1.5 }, 'priority must be an integer between -2147483648 and 2147483647'],
    [{ ...job, max_attempts: 0 }, 'max_attempts must be an integer between 1 and 2147483647'],
    [{ ...job, run_at: '2030-01-01' }, 'run_at must be a valid Date, got a string'],
    [{ ...job, run_at: new Date(Number.NaN) }, 'run_at must be a valid Date'],
    [{ ...job, runAt: new Date() }, 'unknown option "runAt" (did you mean run_at?)'],
  ])('%o', async (given, message) => {
    const { message: said } = await rejection(
      queue.addJob(given as JobOptions<Record<string, unknown>>),
      'INVALID_ARGUMENT',
    );
    expect(said).toContain(`addJob: ${message}`);
    expect(await count()).toBe(0);
  });
});

test.each([1, 10])('two hundred at once are all added, over max: %i connections', async (max) => {
  await using narrow = await openQueue(database, { databaseConfig: { max } });
  const payloads = Array.from({ length: 200 }, (_, number) => ({ number }));
  const ids = await Promise.all(
    payloads.map((payload) => narrow.addJob({ job_type: 'task', payload })),
  );
  const byId = new Map((await narrow.getAllJobs(1000)).map(({ id, payload }) => [id, payload]));
  // Each promise resolves to the id of its own job.
  expect(ids.map((id) => byId.get(id))).toEqual(payloads);
  expect(byId.size).toBe(200);
});
