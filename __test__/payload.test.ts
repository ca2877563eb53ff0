import { createContext, runInContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { wellFormed } from '../ts/basics/text.js';
import { JobQueueError } from '../ts/errors/job-queue-error.js';
import { measure, oversize, TotalSize } from '../ts/payload/size.js';
import { stringifyPayload } from '../ts/payload/stringify.js';

const TEXT_LIMIT = 64 * 1024 * 1024;

function refusal(payload: unknown): string {
  try {
    stringifyPayload(payload, 'addJob');
  } catch (error) {
    expect(error).toBeInstanceOf(JobQueueError);
    expect(error).toMatchObject({ code: 'INVALID_PAYLOAD' });
    return (error as JobQueueError).message;
  }
  throw new Error('the payload was accepted');
}

function nested(depth: number): unknown {
  let payload: unknown = 1;
  for (let level = 0; level < depth; level++) payload = [payload];
  return payload;
}

function throwing(error: unknown): () => never {
  return () => {
    throw error;
  };
}

describe('what is accepted', () => {
  test.each<[string, unknown]>([
    ['an object', { to: 'a@b.c', tags: ['x', 'y'], nested: { deep: [1, 2.5, -1e21] } }],
    ['an array', [1, 'two', null, [true]]],
    ['a string', 'text'],
    ['an empty string', ''],
    ['a number', 42],
    ['negative zero', -0],
    ['the largest number', Number.MAX_VALUE],
    ['the smallest number', Number.MIN_VALUE],
    ['what is no JSON number', { nan: Number.NaN, infinity: Number.POSITIVE_INFINITY }],
    ['a boolean', false],
    ['null', null],
    ['undefined, functions and symbols inside', { a: undefined, b: () => 1, c: [Symbol('x')] }],
    ['a Date', { at: new Date(0) }],
    ['an invalid Date', { at: new Date(Number.NaN) }],
    ['boxed values', [Object('s'), Object(1), Object(true)]],
    ['a Map', new Map([['a', 1]])],
    ['toJSON', { money: { toJSON: () => '1.00 EUR' } }],
    ['an object without a prototype', Object.assign(Object.create(null), { a: 1 })],
    ['the key __proto__', JSON.parse('{"__proto__":{"a":1}}')],
    ['the same object twice', ((shared) => ({ a: shared, b: shared }))({ x: 1 })],
    ['characters that JSON escapes', '\u0001\b\f\n\r\t"\\/\u007f\u2028'],
    ['characters outside the basic plane', { '😀': '👩‍👩‍👧 𝒳' }],
    ['the text backslash-u-0000', ['\\u0000', '\\\\u0000', '\\ud800', { '\\u0000': 1 }]],
    ['another realm', runInContext('({ a: [1, new Date(0)] })', createContext())],
  ])('%s round-trips as through JSON.stringify', (_, payload) => {
    expect(stringifyPayload(payload, 'addJob')).toBe(JSON.stringify(payload));
  });

  test('a BigInt that the application taught to convert itself', () => {
    const prototype = BigInt.prototype as { toJSON?: () => string };
    prototype.toJSON = function () {
      return String(this);
    };
    try {
      expect(stringifyPayload({ total: 12n }, 'addJob')).toBe('{"total":"12"}');
    } finally {
      delete prototype.toJSON;
    }
  });

  test('every JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (payload) => {
        const text = stringifyPayload(payload, 'addJob');
        expect(text).toBe(JSON.stringify(payload));
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(payload)));
      }),
    );
  });

  test('any UTF-16 text that Postgres can store, and no other', () => {
    const codeUnit = fc.oneof(
      fc.constantFrom('\0', '\\', 'u', '0', 'd', '8', '\ud83d', '\ude00', '😀'),
      fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
    );
    const storable = (text: string) => !/\0|\p{Surrogate}/u.test(text);
    fc.assert(
      fc.property(fc.string({ unit: codeUnit }), fc.string({ unit: codeUnit }), (key, text) => {
        const payload = { list: [{ [key]: 1 }], note: text };
        if (storable(key) && storable(text)) {
          expect(JSON.parse(stringifyPayload(payload, 'addJob'))).toEqual(payload);
        } else {
          const place = storable(key) ? 'payload.note holds ' : 'a key of payload.list[0] holds ';
          expect(refusal(payload)).toContain(`addJob: ${place}`);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('what is refused, and where', () => {
  const cycle: { list: unknown[]; name: string } = { list: [{}], name: 'x' };
  cycle.list.push({ back: cycle });
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();

  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'payload must be a JSON value, got undefined'],
    ['a function', () => 1, 'payload must be a JSON value, got a function'],
    ['a symbol', Symbol('s'), 'payload must be a JSON value, got a symbol'],
    ['toJSON that gives nothing', { toJSON: () => undefined }, 'got an object, which has no JSON'],
    ['a BigInt', 1n, 'payload is a BigInt, which JSON cannot carry'],
    ['a BigInt inside', { a: [0, { b: 1n }] }, 'payload.a[1].b is a BigInt'],
    ['a boxed BigInt', [Object(1n)], 'payload[0] is a BigInt'],
    ['a BigInt from toJSON', { a: { toJSON: () => 1n } }, 'payload.a is a BigInt'],
    ['a cycle', cycle, 'payload.list[1].back is a cycle'],
    ['toJSON that throws', { a: { toJSON: throwing(new TypeError('4111 1111')) } }, 'payload.a th'],
    ['a getter that throws', Object.defineProperty([1], 1, { get: throwing(0) }), 'payload[1] thr'],
    [
      'a revoked proxy',
      { a: revoked.proxy },
      'payload.a throws when it is converted to JSON: Type',
    ],
    ['\\u0000', { items: [1, { note: 'a\0b' }] }, 'payload.items[1].note holds \\u0000, which'],
    ['\\u0000 alone', '\0', 'payload holds \\u0000, which Postgres cannot store in jsonb'],
    ['\\u0000 after backslashes', ['\\\\\0'], 'payload[0] holds \\u0000'],
    ['a lone high surrogate', { a: 'x\ud83d' }, 'payload.a holds a lone surrogate, which Postgres'],
    ['a lone low surrogate', { a: '\ude00x' }, 'payload.a holds a lone surrogate'],
    ['a key with \\u0000', { a: [{ 'k\0': 1 }] }, 'a key of payload.a[0] holds \\u0000'],
    ['a key with a lone surrogate', { '\ud800': 1 }, 'a key of payload holds a lone surrogate'],
    ['a key that is no name', { 'first name': '\0' }, 'payload["first name"] holds \\u0000'],
    ['more nesting than the stack holds', nested(200_000), 'payload is nested too deeply'],
  ])('%s', (_, payload, message) => {
    expect(refusal(payload)).toMatch(/^addJob: /);
    expect(refusal(payload)).toContain(message);
  });

  test('the first of several, in the order of the text', () => {
    expect(refusal({ a: { b: '\0' }, c: '\0' })).toContain('payload.a.b holds');
  });

  test('without quoting the payload, or what its code says', () => {
    const secret = '4111 1111';
    expect(refusal({ card: { toJSON: throwing(new RangeError(secret)) } })).not.toContain(secret);
    expect(refusal({ card: `${secret}\0` })).not.toContain(secret);
  });

  test('with the middle of a long path left out', () => {
    const message = refusal(JSON.parse(`${'{"a":'.repeat(1000)}"\\u0000"${'}'.repeat(1000)}`));
    expect(message).toContain('payload.a.a.a.a[…].a.a.a.a.a.a.a.a holds');
  });

  test('when the offender behaves on the second look', () => {
    let looks = 0;
    const shy = { toJSON: () => (looks++ === 0 ? 1n : 1) };
    expect(refusal({ shy })).toBe('addJob: payload does not convert to JSON: TypeError');
  });
});

describe('what Postgres has no room for', () => {
  test('a string has at most 64 MiB, counted in bytes, with its quotes', {
    timeout: 60_000,
  }, () => {
    const largest = `xx${'漢'.repeat((TEXT_LIMIT - 4) / 3)}`;
    expect(Buffer.byteLength(largest) + 2).toBe(TEXT_LIMIT);
    expect(stringifyPayload(largest, 'addJob').length).toBe(largest.length + 2);
    expect(refusal(`${largest}x`)).toBe(
      `addJob: payload is too large: Postgres would write it as more than ${TEXT_LIMIT} bytes of text`,
    );
  });

  test('an array has at most 8,388,608 members', { timeout: 60_000 }, () => {
    expect(refusal(new Array(2 ** 23 + 1).fill(0))).toContain('at most 8388608 members');
  });

  test('jsonb holds at most 256 MiB', { timeout: 60_000 }, () => {
    const tenth = new Array(1_000_000).fill(0);
    expect(refusal(new Array(10).fill(tenth))).toContain('jsonb holds at most 268435455 bytes');
  });

  test('numbers are measured with all their digits', { timeout: 60_000 }, () => {
    // `1e308` is 309 digits, and each but the last has a comma and a space; and there are two brackets.
    const most = Math.floor(TEXT_LIMIT / 311);
    expect(() => stringifyPayload(new Array(most).fill(1e308), 'addJob')).not.toThrow();
    expect(refusal(new Array(most + 1).fill(1e308))).toContain('bytes of text');
    expect(refusal(new Array(1_500_000).fill(1e308))).toContain('bytes of text');
  });

  test('numbers of JSON.rawJSON, which newer versions of Node.js have, are too', () => {
    const numbers = (count: number) => `[${new Array(count).fill('1e131071').join()}]`;
    expect(oversize(numbers(500))).toBe(null);
    expect(oversize(numbers(520))).toContain('bytes of text');
  });

  test('strings are not taken for numbers, nor what is in them for commas', () => {
    const tricky = ['1e9999', ',:,:', '\\', '"', '\\"', '1e308'];
    const text = stringifyPayload(tricky, 'addJob');
    expect(measure(text).textBytes).toBe(Buffer.byteLength(text) + tricky.length - 1);
  });

  test('many together have at most what they are given, whichever is measured', () => {
    const total = new TotalSize(3_110);
    const text = JSON.stringify(1e308);
    const adding = Array.from({ length: 11 }, () => total.add(text));
    expect(adding).toEqual([...new Array(10).fill(false), true]);
    const ascii = new TotalSize(100);
    expect(Array.from({ length: 6 }, () => ascii.add('{"a":[1,2,3]}xx'))).toEqual([
      ...new Array(5).fill(false),
      true,
    ]);
  });
});

test('wellFormed makes any text storable, and leaves alone what is', () => {
  expect(wellFormed('a\0b\ud800c\udc00😀')).toBe('a\ufffdb\ufffdc\ufffd😀');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(wellFormed(text)).toBe(text.replaceAll('\0', '\ufffd'));
    }),
  );
});
