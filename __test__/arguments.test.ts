import { createContext, runInContext } from 'node:vm';
import fc from 'fast-check';
import { Client, Pool } from 'pg';
import { describe, expect, test, vi } from 'vitest';
import { suggest } from '../ts/checks/spelling.js';
import { CLIENTS, recognise } from '../ts/clients/recognise.js';
import { JobQueueError } from '../ts/errors/job-queue-error.js';
import { parseJob } from '../ts/job/new-job.js';
import {
  parseDrainTimeout,
  parseHandlers,
  parseProcessorOptions,
} from '../ts/processor/arguments.js';
import {
  parseDatabaseOptions,
  parseDays,
  parseFilters,
  parseJobId,
  parseMinutes,
  parsePage,
  parseStatus,
  splitArguments,
} from '../ts/queue/arguments.js';

const INT4 = 'an integer between -2147483648 and 2147483647';
const NAME = 'a string of 1 to 255 characters';

function refusal(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(JobQueueError);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    return (error as JobQueueError).message;
  }
  throw new Error('the argument was accepted');
}

/** A table of refused values beside the messages that refuse them. */
type Refusals = [given: unknown, message: string][];

describe('addJob', () => {
  const job = (fields: object) => parseJob('addJob', { job_type: 'a', payload: 1, ...fields });

  const parsed = (fields: object) => JSON.parse(job(fields).json) as Record<string, unknown>;

  test('fills in the defaults', () => {
    const { json, ...rest } = parseJob('addJob', { job_type: 'email', payload: { to: 'x' } });
    expect(rest).toEqual({ type: 'email', payload: '{"to":"x"}', isKeyed: false });
    expect(JSON.parse(json)).toEqual({
      job_type: 'email',
      payload: { to: 'x' },
      max_attempts: 3,
      priority: 0,
      run_at: null,
      timeout_ms: null,
    });
  });

  test('takes undefined for an absent option', () => {
    const absent = { max_attempts: undefined, priority: undefined, run_at: undefined };
    expect(job(absent)).toEqual(job({}));
  });

  test('keeps what it is given', () => {
    const runAt = new Date('2030-01-02T03:04:05.678Z');
    expect(parsed({ max_attempts: 1, priority: -5, run_at: runAt })).toMatchObject({
      max_attempts: 1,
      priority: -5,
      run_at: runAt.getTime(),
    });
    expect(parsed({ run_at: null }).run_at).toBeNull();
    expect(parsed({ timeout_ms: 5 }).timeout_ms).toBe(5);
    expect(parsed({ timeout_ms: null }).timeout_ms).toBeNull();
  });

  test.each<[string, object]>([
    ['the least', { max_attempts: 1, priority: -2147483648, run_at: new Date('-004713-11-24') }],
    ['the most', { max_attempts: 2147483647, priority: 2147483647, run_at: new Date(8.64e15) }],
    ['255 characters, of two code units each', { job_type: '😀'.repeat(255) }],
    ['a Date of another realm', { run_at: runInContext('new Date(0)', createContext()) }],
  ])('accepts %s', (_, fields) => {
    expect(() => job(fields)).not.toThrow();
  });

  test.each<Refusals[number]>([
    [{ priority: 1.5 }, `addJob: priority must be ${INT4}, got 1.5`],
    [{ priority: 2147483648 }, `addJob: priority must be ${INT4}, got 2147483648`],
    [{ priority: Number.NaN }, `addJob: priority must be ${INT4}, got NaN`],
    [{ priority: '10' }, `addJob: priority must be ${INT4}, got a string`],
    [{ priority: 1n }, `addJob: priority must be ${INT4}, got a BigInt`],
    [{ priority: null }, `addJob: priority must be ${INT4}, got null`],
    [{ timeout_ms: 0 }, 'timeout_ms must be an integer between 1 and 2147483647, got 0'],
    [{ max_attempts: 0 }, 'max_attempts must be an integer between 1 and 2147483647, got 0'],
    [{ max_attempts: null }, 'max_attempts must be an integer between 1 and 2147483647, got null'],
    [{ job_type: undefined }, `addJob: job_type must be ${NAME}, got undefined`],
    [{ job_type: '' }, `addJob: job_type must be ${NAME}, got an empty string`],
    [{ job_type: 'x'.repeat(256) }, `addJob: job_type must be ${NAME}, got a longer one`],
    [{ job_type: '😀'.repeat(256) }, `addJob: job_type must be ${NAME}, got a longer one`],
    [
      { job_type: 'a\0' },
      'job_type holds \\u0000 or a lone surrogate, which Postgres cannot store',
    ],
    [{ job_type: '\ud800' }, 'job_type holds \\u0000 or a lone surrogate'],
    [{ run_at: '2030-01-01' }, 'addJob: run_at must be a valid Date, got a string'],
    [{ run_at: 1e12 }, 'addJob: run_at must be a valid Date, got 1000000000000'],
    [{ run_at: new Date(Number.NaN) }, 'run_at must be a valid Date, got an invalid Date'],
    [{ run_at: new Date('-004713-11-23') }, 'run_at must not be before 24 November 4714 BC'],
    [{ prioritty: 1 }, 'addJob: unknown option "prioritty" (did you mean priority?)'],
    [{ runAt: null }, 'addJob: unknown option "runAt" (did you mean run_at?)'],
    [{ 'x\n': 1 }, 'addJob: unknown option "x\\n"'],
    [{ ['k'.repeat(99)]: 1 }, `addJob: unknown option "${'k'.repeat(39)}…"`],
  ])('refuses %o', (fields, message) => {
    expect(refusal(() => job(fields as object))).toContain(message);
  });

  test('refuses an instance of a class that is no job', () => {
    expect(refusal(() => parseJob('addJob', new URL('http://localhost')))).toBe(
      'addJob: job must be an object with options (job_type, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold, payload), ' +
        'got an instance of a class that has none of them',
    );
  });

  test.each<Refusals[number]>([
    [undefined, 'addJob: job must be an object, got undefined'],
    [null, 'addJob: job must be an object, got null'],
    ['email', 'addJob: job must be an object, got a string'],
    [[], 'addJob: job must be an object, got an array'],
    [new Date(), 'addJob: job must be an object, got a Date'],
    [() => 1, 'addJob: job must be an object, got a function'],
  ])('refuses %o in place of a job', (given, message) => {
    expect(refusal(() => parseJob('addJob', given))).toBe(message);
  });

  test('refuses a payload with a code of its own', () => {
    expect(() => parseJob('addJob', { job_type: 'a' })).toThrow(
      expect.objectContaining({
        code: 'INVALID_PAYLOAD',
        message: expect.stringContaining('addJob: payload must be a JSON value, got undefined'),
      }),
    );
  });
});

describe("the caller's own database client", () => {
  const client = { query: async () => ({ rows: [], rowCount: 0 }) };

  test.each<[string, unknown, boolean]>([
    ['a Pool', new Pool(), true],
    ['a Client', new Client(), true],
    ['an object with query', client, true],
    ['a function with query', Object.assign(() => 1, client), true],
    ['an object without', {}, false],
    ['query that is no function', { query: 'select 1' }, false],
    ['a job', { job_type: 'a', payload: {} }, false],
    ['an id', 1, false],
    ['null', null, false],
    ['undefined', undefined, false],
  ])('is recognised: %s', (_, value, expected) => {
    expect(recognise(value) !== null).toBe(expected);
  });

  test('is taken from the options', () => {
    expect(parseDatabaseOptions('addJob', { db: client })).toHaveProperty('send');
    expect(parseDatabaseOptions('addJob', { db: undefined })).toBeNull();
    expect(parseDatabaseOptions('addJob', {})).toBeNull();
    expect(parseDatabaseOptions('addJob', undefined)).toBeNull();
  });

  test.each<Refusals[number]>([
    [{ db: null }, `addJob: db must be ${CLIENTS}, got null`],
    [{ db: {} }, `addJob: db must be ${CLIENTS}, got an object`],
    [{ DB: client }, 'addJob: unknown option "DB" (did you mean db?)'],
    [null, 'addJob: options must be an object, got null'],
  ])('is refused as %o', (given, message) => {
    expect(refusal(() => parseDatabaseOptions('addJob', given))).toBe(message);
  });
});

describe('the two forms of a method', () => {
  const client = { query: async () => ({ rows: [] }) };
  const split = (...args: unknown[]) => splitArguments('getAllJobs', args, 2);

  test('are told apart by the first argument', () => {
    expect(split()).toEqual({ client: null, rest: [] });
    expect(split(10, 0)).toEqual({ client: null, rest: [10, 0] });
    expect(split(client, 10, 0)).toMatchObject({ client: {}, rest: [10, 0] });
  });

  const excess = (got: number) =>
    `takes at most 2 arguments, or 3 if the first is a database client, got ${got}.`;
  test.each<[unknown[], string]>([
    [[undefined, 10, 0], `${excess(3)} The first is undefined, which is not ${CLIENTS}`],
    [[{}, 10, 0], `${excess(3)} The first is an object, which is not ${CLIENTS}`],
    [[10, 0, 0, 0], `${excess(4)} The first is a number, which is not ${CLIENTS}`],
    [[10, 0, client], 'a database client must be the first argument'],
    [[client, 10, 0, 0], 'takes at most 2 arguments after the database client, got 3'],
    [[() => 1], `the first argument is a function, which is not ${CLIENTS}`],
  ])('do not have the arguments %o', (args, message) => {
    expect(refusal(() => split(...args))).toBe(`getAllJobs: ${message}`);
  });
});

describe('ids', () => {
  test('are numbers, or the digits of one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (id) => {
        expect(parseJobId('getJob', id)).toBe(id);
        expect(parseJobId('getJob', String(id))).toBe(id);
      }),
    );
  });

  const rule = 'getJob: id must be a positive integer, or a string of its decimal digits, got';
  test.each<Refusals[number]>([
    [0, `${rule} 0`],
    [-1, `${rule} -1`],
    [1.5, `${rule} 1.5`],
    [Number.NaN, `${rule} NaN`],
    [2 ** 53, `${rule} 9007199254740992`],
    [1n, `${rule} a BigInt`],
    [undefined, `${rule} undefined`],
    [null, `${rule} null`],
    [['1'], `${rule} an array`],
    ...['', '0', '01', '-1', '+1', ' 1', '1\n', '1.0', '1e3', '0x1', '9007199254740992', '١'].map(
      (text): Refusals[number] => [text, `${rule} a string`],
    ),
  ])('are not %o', (value, message) => {
    expect(refusal(() => parseJobId('getJob', value))).toBe(message);
  });
});

describe('listings', () => {
  test.each(['pending', 'processing', 'completed', 'failed', 'cancelled'])('of %s', (status) => {
    expect(parseStatus('getJobsByStatus', status)).toBe(status);
  });

  const rule =
    'getJobsByStatus: status must be one of pending, processing, completed, failed, cancelled, got';
  test.each<Refusals[number]>([
    ['canceled', `${rule} a string (did you mean cancelled?)`],
    ['Pending', `${rule} a string (did you mean pending?)`],
    ['toString', `${rule} a string`],
    [undefined, `${rule} undefined`],
    [1, `${rule} a number`],
  ])('of no other status: %o', (status, message) => {
    expect(refusal(() => parseStatus('getJobsByStatus', status))).toBe(message);
  });

  test('have a hundred jobs from the start, unless told otherwise', () => {
    expect(parsePage('getAllJobs', undefined, undefined)).toEqual({ limit: 100, offset: 0 });
    expect(parsePage('getAllJobs', 0, 2147483647)).toEqual({ limit: 0, offset: 2147483647 });
  });

  const range = 'an integer between 0 and 2147483647';
  test.each<[unknown, unknown, string]>([
    [-1, 0, `getAllJobs: limit must be ${range}, got -1`],
    [null, 0, `getAllJobs: limit must be ${range}, got null`],
    ['10', 0, `getAllJobs: limit must be ${range}, got a string`],
    [10, 0.5, `getAllJobs: offset must be ${range}, got 0.5`],
    [10, Number.POSITIVE_INFINITY, `getAllJobs: offset must be ${range}, got Infinity`],
  ])('do not have limit %o and offset %o', (limit, offset, message) => {
    expect(refusal(() => parsePage('getAllJobs', limit, offset))).toBe(message);
  });
});

describe('cancelAllUpcomingJobs', () => {
  const parse = (filters?: unknown) => parseFilters('cancelAllUpcomingJobs', filters);
  const all = { jobType: null, priority: null, runAt: null };

  test.each<[unknown, object]>([
    [undefined, all],
    [{}, all],
    [{ job_type: undefined, priority: undefined, run_at: undefined }, all],
    [{ job_type: 'email' }, { ...all, jobType: 'email' }],
    [{ priority: 0 }, { ...all, priority: 0 }],
    [{ run_at: new Date(0) }, { ...all, runAt: 0 }],
  ])('takes the filters %o', (filters, expected) => {
    expect(parse(filters)).toEqual(expected);
  });

  test.each<Refusals[number]>([
    [null, 'filters must be an object, got null'],
    ['email', 'filters must be an object, got a string'],
    [[], 'filters must be an object, got an array'],
    [{ jobType: 'email' }, 'unknown filter "jobType" (did you mean job_type?)'],
    [{ status: 'pending' }, 'unknown filter "status"'],
    [{ job_type: null }, `job_type must be ${NAME}, got null`],
    [{ job_type: '' }, `job_type must be ${NAME}, got an empty string`],
    [{ job_type: ['a'] }, `job_type must be ${NAME}, got an array`],
    [{ priority: null }, `priority must be ${INT4}, got null`],
    [{ run_at: null }, 'run_at must be a valid Date, got null'],
    [{ run_at: 'tomorrow' }, 'run_at must be a valid Date, got a string'],
  ])('refuses %o, since to ignore it would cancel more', (filters, message) => {
    expect(refusal(() => parse(filters))).toBe(`cancelAllUpcomingJobs: ${message}`);
  });
});

describe('spans of time', () => {
  test('have defaults, and may be fractions', () => {
    expect(parseMinutes('reclaimStuckJobs')).toBe(10);
    expect(parseDays('cleanupOldJobs')).toBe(30);
    expect(parseMinutes('reclaimStuckJobs', 0.5)).toBe(0.5);
    expect(parseDays('cleanupOldJobs', 0)).toBe(0);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 1e10, '10', null])('are not %o', (value) => {
    expect(refusal(() => parseMinutes('reclaimStuckJobs', value))).toMatch(
      /^reclaimStuckJobs: maxProcessingTimeMinutes must be a number between 0 and 1000000000, got /,
    );
    expect(refusal(() => parseDays('cleanupOldJobs', value))).toMatch(
      /^cleanupOldJobs: daysToKeep must be a number between 0 and 1000000, got /,
    );
  });

  test('bound the wait of stopAndDrain, in whole milliseconds', () => {
    expect(parseDrainTimeout()).toBe(30_000);
    expect(parseDrainTimeout(0)).toBe(0);
    expect(refusal(() => parseDrainTimeout(2 ** 31))).toBe(
      'stopAndDrain: timeoutMs must be an integer between 0 and 2147483647, got 2147483648',
    );
  });
});

describe('createProcessor', () => {
  const parse = (options?: unknown) => parseProcessorOptions(options);

  test('fills in the defaults', () => {
    const parsed = parse();
    expect(parsed).toMatchObject({ batchSize: 10, concurrency: 3, pollInterval: 5000 });
    expect(parsed).toMatchObject({ verbose: null, removeOnComplete: false, jobTypes: null });
    const times = { leaseDuration: 30_000, defaultTimeout: null, cancelGrace: 5_000 };
    expect(parsed).toMatchObject(times);
    expect(parsed.workerId).toMatch(/^worker-[\da-f-]{8,}$/);
    expect(parse().workerId).not.toBe(parsed.workerId);
  });

  test('keeps what it is given', () => {
    const options = { workerId: 'w', batchSize: 1, concurrency: 10_000, pollInterval: 86_400_000 };
    const onError = () => {};
    const times = { leaseDuration: 1000, defaultTimeout: 1, cancelGrace: 0 };
    const listeners = { onError, onJobFailed: () => {} };
    const more = { verbose: true, removeOnComplete: true, unknownTypes: 'fail' };
    const given = { ...options, ...times, ...listeners, ...more };
    const retry = { numbers: {}, decide: undefined };
    expect(parse(given)).toEqual({ ...given, jobTypes: null, retry });
    expect(parse({ jobType: 'a' }).jobTypes).toEqual(['a']);
    expect(parse({ jobType: ['b', 'a', 'b'] }).jobTypes).toEqual(['b', 'a']);
  });

  test('reports errors to the console unless told otherwise', () => {
    const error = new JobQueueError('CONNECTION_FAILED', 'down');
    const { onError } = parse();
    const log = vi.spyOn(console, 'error').mockImplementation(() => {});
    onError(error);
    expect(log).toHaveBeenCalledWith(error);
    log.mockRestore();
  });

  test.each<Refusals[number]>([
    [null, 'options must be an object, got null'],
    [{ batchsize: 1 }, 'unknown option "batchsize" (did you mean batchSize?)'],
    [{ job_type: 'a' }, 'unknown option "job_type" (did you mean jobType?)'],
    [{ batchSize: 0 }, 'batchSize must be an integer between 1 and 10000, got 0'],
    [{ concurrency: 10_001 }, 'concurrency must be an integer between 1 and 10000, got 10001'],
    [{ concurrency: '3' }, 'concurrency must be an integer between 1 and 10000, got a string'],
    [{ pollInterval: 0 }, 'pollInterval must be an integer between 1 and 86400000, got 0'],
    [{ leaseDuration: 999 }, 'leaseDuration must be an integer between 1000 and 86400000, got 999'],
    [{ defaultTimeout: 0 }, 'defaultTimeout must be an integer between 1 and 2147483647, got 0'],
    [{ cancelGrace: -1 }, 'cancelGrace must be an integer between 0 and 2147483647, got -1'],
    [{ workerId: '' }, `workerId must be ${NAME}, got an empty string`],
    [
      { workerId: 'a\0' },
      'workerId holds \\u0000 or a lone surrogate, which Postgres cannot store',
    ],
    [{ onError: 'log' }, 'onError must be a function, got a string'],
    [{ onError: null }, 'onError must be a function, got null'],
    [{ onJobFailed: 'log' }, 'onJobFailed must be a function, got a string'],
    [{ verbose: null }, 'verbose must be true or false, got null'],
    [{ verbose: 1 }, 'verbose must be true or false, got 1'],
    [{ jobType: null }, `jobType must be ${NAME}, got null`],
    [{ jobType: [] }, 'jobType must have at least one type, got an empty array'],
    [{ jobType: ['a', 2] }, `jobType[1] must be ${NAME}, got 2`],
  ])('refuses the options %o', (options, message) => {
    expect(refusal(() => parse(options))).toBe(`createProcessor: ${message}`);
  });

  test('takes the own functions of an object as handlers', () => {
    const email = async () => {};
    expect([...parseHandlers({ email }).keys()]).toEqual(['email']);
    const nameless = Object.assign(Object.create(null), { email });
    expect(parseHandlers(nameless).get('email')?.run).toBe(email);
    expect(parseHandlers({}).has('constructor')).toBe(false);
  });

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'handlers must be an object, got undefined'],
    ['an array', [() => 1], 'handlers must be an object, got an array'],
    [
      'a value',
      { email: 'x' },
      'handlers["email"] must be a function, or an object with a function `run`, got a string',
    ],
    [
      'undefined',
      { email: undefined },
      'handlers["email"] must be a function, or an object with a function `run`, got undefined',
    ],
    ['a Map', new Map([['a', () => 1]]), 'by job type, got an instance of a class'],
    [
      'methods of a class',
      new (class {
        async email() {}
      })(),
      'got an instance of a class',
    ],
  ])('refuses %s for handlers', (_, handlers, message) => {
    expect(refusal(() => parseHandlers(handlers))).toContain(message);
  });
});

describe('suggestions', () => {
  const known = ['max_attempts', 'priority', 'run_at'];

  test.each([
    ['maxAttempts', ' (did you mean max_attempts?)'],
    ['MAX_ATTEMPT', ' (did you mean max_attempts?)'],
    ['piority', ' (did you mean priority?)'],
    ['runat', ' (did you mean run_at?)'],
    ['delay', ''],
    ['', ''],
    ['p'.repeat(1_000_000), ''],
  ])('for %.20s', (word, suggestion) => {
    expect(suggest(word, known)).toBe(suggestion);
  });
});
