import { createContext, runInContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeError } from '../ts/errors/describe-error.js';

function fail(): never {
  throw new Error('touched');
}

/** An object that throws whatever is done with it. */
function untouchable(target: object): object {
  const traps = Reflect.ownKeys(Reflect).map((trap) => [trap, fail]);
  return new Proxy(target, Object.fromEntries(traps));
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function withGetter(key: string): Error {
  return Object.defineProperty(new Error('m'), key, { get: fail });
}

class Declined extends Error {}
class Named extends Error {
  override name = 'PaymentError';
}

describe('an Error', () => {
  test('is told by its message, class and stack', () => {
    const error = new TypeError('no such file');
    expect(describeError(error)).toEqual({
      message: 'no such file',
      name: 'TypeError',
      stack: error.stack,
    });
  });

  test.each<[string, unknown, string]>([
    ['a subclass', new Declined('m'), 'Declined'],
    ['a subclass with a name of its own', new Named('m'), 'PaymentError'],
    ['an error with a name of its own', Object.assign(new Error('m'), { name: 'Odd' }), 'Odd'],
    ['a DOMException', new DOMException('m', 'AbortError'), 'AbortError'],
    [
      'an error of another realm',
      runInContext("new RangeError('m')", createContext()),
      'RangeError',
    ],
    ['an inheritor of Error.prototype', Object.create(new Error('m')), 'Error'],
    ['an error behind a proxy', new Proxy(new Error('m'), {}), 'Error'],
  ])('of any kind keeps its name: %s', (_, error, name) => {
    expect(describeError(error)).toMatchObject({ message: 'm', name });
  });

  test('with an empty message is told by its name', () => {
    expect(describeError(new Declined()).message).toBe('Declined');
  });

  test('with a message that is no string is told by that', () => {
    expect(describeError(Object.assign(new Error(), { message: 404 })).message).toBe('404');
    expect(describeError(Object.assign(new Error(), { message: { a: 1 } })).message).toBe(
      '[object Object]',
    );
  });

  test('tells its causes below the stack, and not in the message', () => {
    const cause = new Error('refused', { cause: 'no route' });
    const { message, stack } = describeError(new Error('failed', { cause }));
    expect(message).toBe('failed');
    expect(stack).toContain('Caused by: Error: refused\n    at ');
    expect(stack).toMatch(/\nCaused by: no route$/);
  });

  test('that causes itself is told once', () => {
    const error = new Error('chicken');
    error.cause = new Error('egg', { cause: error });
    expect(describeError(error).stack?.match(/egg/g)).toHaveLength(1);
  });

  test('with an endless chain of causes is told in part', () => {
    const endless = (): Error => Object.defineProperty(new Error('m'), 'cause', { get: endless });
    expect(describeError(endless()).stack?.length).toBeLessThanOrEqual(10_000);
  });

  test('of several tells what it holds', () => {
    const error = new AggregateError([new TypeError('one'), 'two'], 'All promises were rejected');
    const { message, stack } = describeError(error);
    expect(message).toBe('All promises were rejected');
    expect(stack).toMatch(/\nContains: TypeError: one\nContains: two$/);
  });

  test('of several without a message is told by what it holds', () => {
    const error = new AggregateError([new Error('ECONNREFUSED ::1'), new Error('ECONNREFUSED')]);
    expect(describeError(error).message).toBe(
      'AggregateError: Error: ECONNREFUSED ::1; Error: ECONNREFUSED',
    );
  });

  test('does not spread the user data that some classes keep in `errors`', () => {
    const error = Object.assign(new Error('invalid'), { errors: [{ received: '4111 1111' }] });
    expect(describeError(error).stack).not.toContain('Contains');
  });
});

describe('what is no Error', () => {
  test.each<[string, unknown, string]>([
    ['a string', 'text', 'text'],
    ['an empty string', '', ''],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 0, '0'],
    ['a BigInt', 10n, '10'],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['an object with a message', { message: 'm' }, '[object Object]'],
    ['an array', ['a', 'b'], 'a,b'],
    ['an object with a text of its own', { toString: () => 'mine' }, 'mine'],
  ])('is told as String() has it: %s', (_, thrown, message) => {
    expect(describeError(thrown)).toEqual({ message });
  });

  // Each in a function: the test runner, too, cannot touch some of these.
  test.each<[string, () => unknown, string]>([
    ['no prototype', () => Object.create(null), '[object Object]'],
    ['toString throws', () => ({ toString: fail }), '[object Object]'],
    ['toString gives an object', () => ({ toString: () => ({}) }), '[object Object]'],
    ['a proxy that throws', () => untouchable({}), 'a thrown object that cannot be described'],
    ['a function of that kind', () => untouchable(fail), 'a thrown function that cannot be'],
    ['a revoked proxy', () => revoked({}), 'a thrown object that cannot be described'],
  ])('is told by its kind where String() fails: %s', (_, thrown, message) => {
    expect(describeError(thrown()).message).toContain(message);
  });
});

describe('hostile errors', () => {
  test.each(['message', 'name', 'stack', 'cause', 'errors', 'constructor'])('%s throws', (key) => {
    const described = describeError(withGetter(key));
    expect(described.message).toBe(key === 'message' ? 'Error' : 'm');
  });

  test('an array of errors that lies about its length', () => {
    const errors = new Array(2 ** 32 - 1);
    expect(describeError(Object.assign(new Error(), { errors })).message).toBe('Error');
  });

  test('nothing that is thrown makes it throw', () => {
    // Functions that make the parts: fast-check, too, cannot touch some of these.
    const part = fc.oneof(
      fc
        .anything({ withBigInt: true, withNullPrototype: true, withMap: true })
        .map((it) => () => it),
      fc.string({ unit: 'binary' }).map((text) => () => text),
      fc.constantFrom(
        () => fail,
        () => Symbol('s'),
        () => untouchable({}),
        () => untouchable([]),
        () => revoked([]),
        () => new Proxy(new Error('m'), { get: fail }),
      ),
    );
    const parts = fc.record({ message: part, name: part, stack: part, cause: part, errors: part });
    fc.assert(
      fc.property(part, parts, fc.boolean(), (thrown, made, genuine) => {
        const error: Error = genuine ? new Error() : Object.create(Error.prototype);
        // The stack first: to define it, V8 reads the genuine one, which touches name and message.
        for (const key of ['stack', 'message', 'name', 'cause', 'errors'] as const) {
          Object.defineProperty(error, key, { value: made[key]() });
        }
        for (const described of [describeError(thrown()), describeError(error)]) {
          const { message, name = '', stack = '' } = described;
          for (const text of [message, name, stack]) {
            expect(typeof text).toBe('string');
            expect(text).not.toMatch(/\0|\p{Surrogate}/u);
          }
        }
      }),
    );
  });
});

describe('bounds', () => {
  test('long texts are cut, with an ellipsis', () => {
    const error = new Error('m'.repeat(100_000));
    error.name = 'n'.repeat(1_000);
    const { message, name, stack } = describeError(error);
    expect(message).toBe(`${'m'.repeat(9_999)}…`);
    expect(name).toHaveLength(255);
    expect(stack).toHaveLength(10_000);
    expect(describeError('x'.repeat(100_000)).message).toHaveLength(10_000);
  });

  test('a cut never halves a character', () => {
    expect(describeError('😀'.repeat(10_000)).message).toMatch(/^(😀)+…$/u);
  });

  test('what Postgres cannot store is replaced', () => {
    expect(describeError(new Error('a\0b\ud800')).message).toBe('a\ufffdb\ufffd');
  });
});
