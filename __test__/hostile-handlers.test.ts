import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { type Row, useJobs } from './helpers/jobs.js';

const jobs = useJobs();

type Handler = (payload: unknown) => unknown;

/** Runs a job with this handler between two that are well, in one batch, and gives its row. */
async function runBetweenNeighbours(handler: Handler): Promise<Row> {
  const queue = await jobs.openQueue();
  const [, bad = 0] = await jobs.insert(3, {
    job_type: "(array['good', 'bad', 'good'])[n]",
    priority: '-n',
  });
  const handlers = { good: async () => {}, bad: handler as () => Promise<void> };

  expect(await queue.createProcessor(handlers).start()).toBe(3);

  const others = await jobs.rows('id <> $1', bad);
  expect(others.map((row) => row.status)).toEqual(['completed', 'completed']);
  return jobs.row(bad);
}

const throwing = (thrown: unknown) => () => {
  throw thrown;
};

function touchy(): object {
  const refuse = throwing(new Error('do not touch'));
  const traps = Reflect.ownKeys(Reflect).map((trap) => [trap, refuse]);
  return new Proxy(() => {}, Object.fromEntries(traps));
}

function errorWith(properties: PropertyDescriptorMap): Error {
  return Object.defineProperties(new Error('hidden'), properties);
}

type Callback = (value?: unknown) => void;

function thenable(then: (resolve: Callback, reject: Callback) => void) {
  return Object.defineProperty({}, 'then', { value: then });
}

/** An error on which every property throws. The stack is first: to replace it, V8 reads the others. */
function touchyError(): Error {
  const keys = ['stack', 'message', 'name', 'cause', 'errors', 'toString', 'constructor'];
  const get = throwing(new Error('do not touch'));
  return errorWith(Object.fromEntries(keys.map((key) => [key, { get }])));
}

function errorWithEndlessCauses(): Error {
  return Object.defineProperty(new Error('top'), 'cause', { get: errorWithEndlessCauses });
}

describe('fails its own job only, a handler that', () => {
  test.each<[string, Handler, string | RegExp]>([
    ['throws before it returns a promise', throwing(new Error('sync')), 'sync'],
    ['rejects', async () => throwing(new Error('async'))(), 'async'],
    [
      'rejects late',
      () => new Promise((_, reject) => setTimeout(reject, 20, new Error('late'))),
      'late',
    ],
    ['throws null', throwing(null), 'null'],
    ['throws undefined', throwing(undefined), 'undefined'],
    ['throws a string', throwing('text'), 'text'],
    ['throws an empty string', throwing(''), ''],
    ['throws a symbol', throwing(Symbol('s')), 'Symbol(s)'],
    ['throws a number', throwing(42), '42'],
    ['throws a BigInt', throwing(12n), '12'],
    ['throws a frozen object', throwing(Object.freeze({ code: 1 })), '[object Object]'],
    ['throws an object without a prototype', throwing(Object.create(null)), /object/i],
    ['throws a function', throwing(() => 7), '() => 7'],
    ['throws a promise', throwing(Promise.resolve()), '[object Promise]'],
    ['throws what throws when it is touched', throwing(touchy()), /./],
    [
      'throws an error whose message throws',
      throwing(errorWith({ message: { get: throwing(new Error('no')) } })),
      /./,
    ],
    ['throws an error whose every property throws', throwing(touchyError()), /./],
    [
      'throws an error whose message is an object',
      throwing(errorWith({ message: { value: {} } })),
      /./,
    ],
    [
      'throws what Postgres cannot store',
      throwing(new Error('a\0b\ud800c\udc00')),
      'a\ufffdb\ufffdc\ufffd',
    ],
    ['throws text that looks like SQL', throwing("'); drop table job_queue; --"), /drop table/],
    [
      'throws text that looks like JSON',
      throwing('{"message": "x"}\\u0000'),
      '{"message": "x"}\\u0000',
    ],
    ['throws a huge message', throwing(new Error('x'.repeat(50_000_000))), /^x{9000}/],
    [
      'throws an error of another realm',
      () => runInNewContext('throw new TypeError("foreign")'),
      'foreign',
    ],
    ['throws an endless chain of causes', throwing(errorWithEndlessCauses()), 'top'],
    [
      'throws an AggregateError',
      throwing(new AggregateError([new Error('one'), 'two', null], 'several')),
      'several',
    ],
    [
      'throws an AggregateError without a message',
      throwing(new AggregateError([new Error('one')])),
      /one/,
    ],
    [
      'returns a thenable that rejects',
      () => thenable((_, reject) => reject(new Error('then'))),
      'then',
    ],
    ['returns a thenable that throws', () => thenable(throwing(new Error('then'))), 'then'],
    [
      'returns what throws when then is read',
      () => Object.defineProperty({}, 'then', { get: throwing(new Error('get')) }),
      'get',
    ],
  ])('%s', async (_, handler, message) => {
    const row = await runBetweenNeighbours(handler);
    expect(row).toMatchObject({ status: 'failed', attempts: 1, pending_reason: null });
    expect(row.error_history).toHaveLength(1);
    expect(row.error_history[0]).toMatchObject({
      message: typeof message === 'string' ? message : expect.stringMatching(message),
      attempt: 1,
    });
    expect(JSON.stringify(row.error_history).length).toBeLessThan(50_000);
  });

  test('throws an error with causes, of which the stack tells', async () => {
    const cause = new RangeError('below', { cause: 'deepest' });
    const row = await runBetweenNeighbours(throwing(new Error('top', { cause })));
    expect(row.error_history[0]?.stack).toMatch(/top.*RangeError: below.*deepest/s);
  });

  test('throws an error of another realm, whose class is told', async () => {
    const row = await runBetweenNeighbours(() => runInNewContext('throw new TypeError("foreign")'));
    expect(row.error_history[0]).toMatchObject({ name: 'TypeError', message: 'foreign' });
  });
});

describe('completes its job once, a handler that', () => {
  test.each<[string, Handler]>([
    ['is not async', () => undefined],
    ['returns a value', () => 42],
    ['returns what JSON cannot carry', () => ({ big: 1n, touchy: touchy() })],
    ['returns an error', async () => new Error('returned, not thrown')],
    ['returns a thenable', () => thenable((resolve) => resolve())],
    [
      'returns a thenable that calls back twice',
      () =>
        thenable((resolve) => {
          resolve();
          resolve();
        }),
    ],
    [
      'returns a thenable that resolves and then rejects',
      () =>
        thenable((resolve, reject) => {
          resolve();
          reject(new Error('after'));
        }),
    ],
    [
      'returns a thenable that throws after it resolved',
      () =>
        thenable((resolve) => {
          resolve();
          throw new Error('after');
        }),
    ],
    ['returns a promise of a promise', async () => Promise.resolve(Promise.resolve())],
    ['changes its payload', async (payload) => Object.assign(Object(payload), { changed: true })],
  ])('%s', async (_, handler) => {
    expect(await runBetweenNeighbours(handler)).toMatchObject({
      status: 'completed',
      attempts: 1,
      error_history: [],
    });
  });
});

test('a batch of nothing but failures is settled whole', async () => {
  const queue = await jobs.openQueue();
  await jobs.insert(200);
  const job = async (n: number) => {
    throw n % 2 ? new Error('x'.repeat(10_000)) : touchy();
  };
  const processor = queue.createProcessor({ job }, { batchSize: 200, concurrency: 50 });
  expect(await processor.start()).toBe(200);
  expect(await jobs.statuses()).toEqual({ failed: 200 });
});
