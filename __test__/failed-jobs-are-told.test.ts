import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  createRouteHandler,
  currentJob,
  type JobContext,
  JobQueueError,
  type ProcessorOptions,
} from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { deferred } from './helpers/until.js';

const jobs = useJobs();

/** Notes what is printed by one method of the console, and keeps it from being printed. */
function listen(method: 'error' | 'log'): Journal<string> {
  const printed = new Journal<string>();
  const spy = vi.spyOn(console, method).mockImplementation((...args) => {
    printed.note(args.map(String).join(' '));
  });
  onTestFinished(() => spy.mockRestore());
  return printed;
}

type Told = [error: unknown, job: JobContext];

/** Runs one batch; resolves to what `onJobFailed` was told. */
async function run(handler: () => unknown, options: ProcessorOptions = {}): Promise<Told[]> {
  const queue = await jobs.openQueue();
  const told: Told[] = [];
  const onJobFailed = (...args: Told) => void told.push(args);
  const handlers = { job: handler as () => Promise<void> };
  await queue.createProcessor(handlers, { onJobFailed, ...options }).start();
  return told;
}

const throwing = (thrown: unknown) => async () => {
  throw thrown;
};

const refuse = () => {
  throw new Error('do not look');
};

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

describe('a job that fails', () => {
  test('is printed: its id, its type, which attempt it was, and what was thrown', async () => {
    const printed = listen('error');
    const [id] = await jobs.insert(1, { attempts: '1', max_attempts: '4' });
    await run(throwing(new TypeError('no such address')), { onJobFailed: undefined });
    expect(printed.notes).toHaveLength(1);
    expect(printed.notes[0]).toMatch(
      new RegExp(
        `^pg-bg-job-queue: job ${id} \\(job\\) failed, attempt 2 of 4: TypeError: no such address\n +at .*failed-jobs-are-told`,
      ),
    );
  });

  test('is named so that its type cannot forge a line, nor move the cursor of a terminal', async () => {
    const errors = listen('error');
    const lines = listen('log');
    const type = 'a\n[pg-bg-job-queue] b\x1b[2K\x9b2K\u2028\u202ec';
    const shown = 'a\\n[pg-bg-job-queue] b\\u001b[2K\\u009b2K\\u2028\\u202ec';
    const queue = await jobs.openQueue({ verbose: true });
    const throwsType = async () => {
      throw new Error(type);
    };
    const [first = 0, second = 0] = await queue.addJobs([
      { job_type: type, payload: null },
      { job_type: type, payload: null },
    ]);
    await queue.addJob({ job_type: type, payload: null, run_at: new Date(Date.now() + 1e6) });
    await jobs.update("run_at = now() + interval '1 hour'", second);
    await queue.createProcessor({}, { workerId: type, unknownTypes: 'fail' }).start();
    await jobs.update('run_at = now()', second);
    await queue.createProcessor({ [type]: throwsType }, { workerId: type }).start();
    const reason = `No handler registered for job type: ${shown}`;
    expect(await jobs.row(first)).toMatchObject({
      pending_reason: reason,
      error_history: [expect.objectContaining({ message: reason })],
    });
    expect(errors.notes).toHaveLength(2);
    for (const note of errors.notes) expect(note).toContain(`(${shown}) failed, attempt 1 of 3: `);
    const log = lines.notes.join('\n');
    for (const what of [`(${shown}) started`, `(${shown}) failed`, `${shown} ran 1 jobs`]) {
      expect(log).toContain(what);
    }
    for (const raw of ['\n[pg-bg-job-queue] b', '\x1b', '\x9b', '\u2028', '\u202e']) {
      expect(log).not.toContain(raw);
    }
  });

  test('is printed without its payload, and without what libraries note on errors', async () => {
    const printed = listen('error');
    await jobs.insert(1, { payload: `'"4111 1111"'` });
    const error = Object.assign(new Error('refused'), { params: ['4111 1111'] });
    await run(throwing(new Error('cannot pay', { cause: error })), { onJobFailed: undefined });
    expect(printed.notes).toEqual([
      expect.stringMatching(/cannot pay[\s\S]*Caused by: Error: refused/),
    ]);
    expect(printed.notes[0]).not.toContain('4111');
  });

  test.each<[string, unknown]>([
    ['a string', 'text'],
    ['undefined', undefined],
    ['what throws when it is touched', new Proxy({}, { get: refuse })],
    [
      'an error that throws when it is looked at',
      Object.defineProperty(new Error('x'), 'stack', {
        get: refuse,
      }),
    ],
  ])('is printed where its handler threw %s', async (_, thrown) => {
    const printed = listen('error');
    await jobs.insert(1);
    await run(throwing(thrown), { onJobFailed: undefined });
    expect(printed.notes).toEqual([expect.stringContaining('(job) failed, attempt 1 of 3: ')]);
  });

  test('is told to onJobFailed in place of the console', async () => {
    const printed = listen('error');
    const [id] = await jobs.insert(1, { priority: '7', max_attempts: '2' });
    const thrown = new Error('no');
    const told = await run(throwing(thrown));
    expect(told).toEqual([[thrown, expect.objectContaining({ id, priority: 7 })]]);
    expect(told[0]?.[0]).toBe(thrown);
    expect(told[0]?.[1]).toMatchObject({ job_type: 'job', attempts: 1, max_attempts: 2 });
    expect(printed.notes).toEqual([]);
  });

  test('is told where the processor was started, with what belongs to that request', async () => {
    const { AsyncLocalStorage } = await import('node:async_hooks');
    const request = new AsyncLocalStorage<string>();
    await jobs.insert(1);
    await jobs.insert(1, { job_type: "'unknown'" });
    await jobs.insert(1, { timeout_ms: '20', job_type: "'slow'" });
    const queue = await jobs.openQueue();
    const seen = new Set<string | undefined>();
    const processor = queue.createProcessor(
      { job: throwing(1), slow: () => new Promise<void>(() => {}) },
      {
        onJobFailed: (_, { job_type }) => void seen.add(`${request.getStore()} ${job_type}`),
        unknownTypes: 'fail',
      },
    );
    await request.run('the request', () => processor.start());
    expect(seen).toEqual(new Set(['the request job', 'the request unknown', 'the request slow']));
  });

  test('by its time is told once, with TIMEOUT, whatever its handler says later', async () => {
    const [id] = await jobs.insert(1, { timeout_ms: '30' });
    const ended = deferred();
    const told = await run(async () => {
      const { signal } = currentJob();
      await aborted(signal);
      setImmediate(ended.resolve);
      throw signal.reason;
    });
    await ended.promise;
    expect(told).toEqual([[expect.any(JobQueueError), expect.objectContaining({ id })]]);
    expect(told[0]?.[0]).toMatchObject({ code: 'TIMEOUT' });
  });

  test('for want of a handler is told', async () => {
    const [id] = await jobs.insert(1, { job_type: "'other'" });
    const told = await run(async () => {}, { unknownTypes: 'fail' });
    expect(told).toEqual([
      [
        expect.objectContaining({ message: 'No handler registered for job type: other' }),
        expect.objectContaining({ id, job_type: 'other', attempts: 1 }),
      ],
    ]);
    expect(told[0]?.[0]).toBeInstanceOf(JobQueueError);
  });

  test('is told by a route handler', async () => {
    await jobs.insert(1);
    const queue = await jobs.openQueue();
    const onJobFailed = vi.fn();
    const thrown = new Error('no');
    const options = { secret: 'x', onJobFailed };
    const { GET } = createRouteHandler(() => queue, { job: throwing(thrown) }, options);
    await GET(new Request('https://app', { headers: { authorization: 'Bearer x' } }));
    expect(onJobFailed.mock.calls).toEqual([[thrown, expect.anything()]]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('onJobFailed itself fails');
      },
    ],
    ['rejects', () => Promise.reject(new Error('onJobFailed itself fails'))],
  ])('fails as it would where onJobFailed %s, which is printed', async (_, onJobFailed) => {
    const printed = listen('error');
    const [first = 0, second = 0] = await jobs.insert(2);
    await run(throwing(new Error('no')), { onJobFailed });
    for (const id of [first, second]) {
      const error_history = [expect.objectContaining({ message: 'no' })];
      expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 1, error_history });
    }
    const line = expect.stringContaining('onJobFailed threw: Error: onJobFailed itself fails');
    expect(printed.notes).toEqual([line, line]);
  });
});

describe('a job that does not fail', () => {
  test('because it is cancelled is not told, whatever its handler throws', async () => {
    const [id = 0] = await jobs.insert(1);
    const queue = await jobs.openQueue();
    const onJobFailed = vi.fn();
    const job = async () => {
      const { signal } = currentJob();
      const told = aborted(signal);
      await queue.cancelJob(id);
      await told;
      throw new Error('cancelled');
    };
    await queue.createProcessor({ job }, { onJobFailed }).start();
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
    expect(onJobFailed).not.toHaveBeenCalled();
  });

  test('because it is handed back is not told, whatever its handler throws', async () => {
    await jobs.insert(1);
    const queue = await jobs.openQueue();
    const onJobFailed = vi.fn();
    const { handler, started, fail } = heldHandler();
    const ended = deferred();
    const job = () => handler().finally(() => setImmediate(ended.resolve));
    const processor = queue.createProcessor({ job }, { onJobFailed });
    processor.startInBackground();
    const { signal } = await started;
    const told = aborted(signal);
    await processor.stopAndDrain(0);
    await told;
    fail(new Error('handed back'));
    await ended.promise;
    expect(onJobFailed).not.toHaveBeenCalled();
  });
});

describe('verbose', () => {
  const setting = { job: throwing(new Error('no\n such address')) };

  test.each<[boolean | undefined, boolean | undefined, boolean]>([
    [true, undefined, true],
    [true, false, false],
    [false, true, true],
    [undefined, undefined, false],
  ])('%s of a queue and %s of a processor: it logs: %s', async (verbose, own, expected) => {
    const lines = listen('log');
    listen('error');
    const queue = await jobs.openQueue({ verbose });
    await jobs.insert(1);
    await queue.createProcessor(setting, { verbose: own }).start();
    const said = lines.notes.some((line) => line.includes('started: attempt 1 of 3'));
    expect(said).toBe(expected);
  });

  test('of a queue reaches its route handlers', async () => {
    const lines = listen('log');
    listen('error');
    const queue = await jobs.openQueue({ verbose: true });
    await jobs.insert(1);
    const { GET } = createRouteHandler(() => queue, setting, { secret: 'x' });
    await GET(new Request('https://app', { headers: { authorization: 'Bearer x' } }));
    expect(lines.notes.join('\n')).toContain('started: attempt 1 of 3');
  });

  test('says why jobs failed, each in a line', async () => {
    const lines = listen('log');
    const errors = listen('error');
    const queue = await jobs.openQueue({ verbose: true });
    const [failed] = await jobs.insert(1);
    const [unknown] = await jobs.insert(1, { job_type: "'other'" });
    const [slow] = await jobs.insert(1, { job_type: "'slow'", timeout_ms: '20' });
    const handlers = { ...setting, slow: () => new Promise<void>(() => {}) };
    await queue.createProcessor(handlers, { onJobFailed: () => {}, unknownTypes: 'fail' }).start();
    const failures = lines.notes.filter((line) => line.includes('failed'));
    expect(failures.sort()).toEqual([
      expect.stringMatching(
        `job ${failed} \\(job\\) failed after \\d+ ms: Error: no such address$`,
      ),
      expect.stringMatching(
        `job ${unknown} \\(other\\) failed: No handler registered for job type`,
      ),
      expect.stringMatching(`job ${slow} \\(slow\\) failed: .*timed out after 20 ms$`),
    ]);
    expect(errors.notes).toEqual([]);
  });
});

describe('a jobType without a handler is refused', () => {
  const handlers = { send_email: async () => {}, report: async () => {} };

  test.each<[string | string[], string]>([
    ['sned_email', 'jobType "sned_email" has no handler (did you mean send_email?)'],
    [['report', 'invoice'], 'jobType "invoice" has no handler'],
    ['constructor', 'jobType "constructor" has no handler'],
  ])('%o', async (jobType, message) => {
    const queue = await jobs.openQueue();
    const refusal = (method: string) =>
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: `${method}: ${message}` });
    expect(() => queue.createProcessor(handlers, { jobType })).toThrow(refusal('createProcessor'));
    expect(() => createRouteHandler(() => queue, handlers, { jobType })).toThrow(
      refusal('createRouteHandler'),
    );
  });

  test('and no other', async () => {
    const queue = await jobs.openQueue();
    queue.createProcessor(handlers, { jobType: ['report', 'send_email'] });
    queue.createProcessor({});
  });
});
