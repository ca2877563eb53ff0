import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  createRouteHandler,
  currentJob,
  type JobHandlers,
  JobQueueError,
  type RouteHandlerOptions,
  type RouteResult,
} from '../index.js';
import { useJobs } from './helpers/jobs.js';
import { freeAddress, openServer } from './helpers/network.js';
import { deferred } from './helpers/until.js';

const jobs = useJobs();
const secret = 'correct horse';

const request = (headers: Record<string, string> = { authorization: `Bearer ${secret}` }) =>
  new Request('https://app.example/api/cron/jobs?maxDuration=1&batchSize=1000', { headers });

type Handlers = JobHandlers<Record<string, number>>;

/** Calls a route of the test's own; resolves to what it answers. */
async function call(handlers: Handlers, options: RouteHandlerOptions = {}) {
  const queue = await jobs.openQueue();
  const { GET } = createRouteHandler(async () => queue, handlers, { secret, ...options });
  const response = await GET(request());
  expect(response.status).toBe(200);
  return (await response.json()) as RouteResult;
}

afterEach(() => vi.unstubAllEnvs());

describe('the route', () => {
  test('runs all that is due, whatever a batch is, and says what it did', async () => {
    await jobs.insert(35);
    await jobs.insert(2, { job_type: "'bad'" });
    await jobs.insert(1, { run_at: `now() + interval '1 hour'` });
    const result = await call({
      job: async () => {},
      bad: async () => {
        throw new Error('no');
      },
    });
    expect(result).toEqual({
      processed: 37,
      completed: 35,
      failed: 2,
      cancelled: 0,
      handedBack: 0,
      snoozed: 0,
      didNotFit: [],
      notClaimed: [],
      reclaimed: 0,
      deleted: 0,
      left: 0,
      nextDueAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    });
    // The failed ones are tried again in two minutes, sooner than the one that is planned.
    const inMinutes = (Date.parse(result.nextDueAt ?? '') - Date.now()) / 60_000;
    expect(inMinutes).toBeGreaterThan(1);
    expect(inMinutes).toBeLessThan(3);
  });

  test('runs what its handlers add', async () => {
    const queue = await jobs.openQueue();
    await queue.addJob({ job_type: 'job', payload: 3 });
    const job = async (left: number) => {
      if (left > 0) await queue.addJob({ job_type: 'job', payload: left - 1 });
    };
    const { POST } = createRouteHandler(() => queue, { job }, { secret });
    const response = await POST(request());
    expect(await response.json()).toMatchObject({ processed: 4, completed: 4, left: 0 });
  });

  test('answers at once where there is nothing to do', async () => {
    expect(await call({})).toMatchObject({ processed: 0, left: 0, nextDueAt: null });
  });

  test('answers as well where a job waits for longer than a Date reaches', async () => {
    await jobs.insert(1, { run_at: `'290000-01-01'` });
    expect(await call({})).toMatchObject({ left: 0, nextDueAt: '+275760-09-13T00:00:00.000Z' });
  });

  test('puts back what is stuck and deletes what is old, unless told otherwise', async () => {
    const old = { status: "'completed'", updated_at: `now() - interval '31 days'` };
    const stuck = { status: "'processing'", locked_at: `now() - interval '1 hour'` };
    await jobs.insert(3, old);
    await jobs.insert(1, stuck);
    expect(
      await call({ job: async () => {} }, { reclaim: false, daysToKeep: false }),
    ).toMatchObject({ reclaimed: 0, deleted: 0, processed: 0 });
    expect(await call({ job: async () => {} })).toMatchObject({
      reclaimed: 1,
      deleted: 3,
      processed: 1,
    });
  });

  test('hands back at its deadline what still runs, behind what is due, as an attempt if it had half of the time', async () => {
    const [first = 0] = await jobs.insert(2);
    const reasons: unknown[] = [];
    const endless = async () => {
      const { signal } = currentJob();
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          resolve();
        });
      });
    };
    const result = await call({ job: endless }, { maxDuration: 3, grace: 2, concurrency: 1 });
    expect(result).toMatchObject({ processed: 1, completed: 0, left: 2 });
    expect(result.handedBack).toBeGreaterThanOrEqual(1);
    expect(reasons).toEqual([expect.objectContaining({ code: 'DEADLINE' })]);
    expect(reasons[0]).toBeInstanceOf(JobQueueError);
    const row = await jobs.row(first);
    expect(row).toMatchObject({ status: 'pending', attempts: 1 });
    expect(row.error_history).toMatchObject([{ name: 'Deadline', attempt: 1 }]);
    expect(row.next_attempt_at).not.toBeNull();
    expect(result.didNotFit).toEqual([{ id: first, job_type: 'job' }]);
  });

  test('tells of a job that fails because its last attempt does not end by then', async () => {
    const [id = 0] = await jobs.insert(1, { max_attempts: '1' });
    const endless = () => new Promise<void>(() => {});
    const onJobFailed = vi.fn();
    const options = { maxDuration: 3, grace: 2, onJobFailed };
    expect(await call({ job: endless }, options)).toMatchObject({ failed: 1, handedBack: 0 });
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 1 });
    expect(onJobFailed.mock.calls).toEqual([
      [expect.objectContaining({ code: 'DEADLINE' }), expect.objectContaining({ id })],
    ]);
    expect(onJobFailed.mock.calls[0]?.[0].message).toMatch('during the last attempt');
  });

  test('does not begin what usually takes longer than is left', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(20);
    await jobs.insert(5, { job_type: "'quick'" });
    await jobs.insert(1, { job_type: "'other'", priority: '9' });
    const slow = () => new Promise<void>((resolve) => setTimeout(resolve, 250));
    const handlers = { job: slow, other: slow, quick: async () => {} };
    const options = { secret, maxDuration: 1.5, grace: 0.1, concurrency: 1 };
    const { GET } = createRouteHandler(() => queue, handlers, options);
    const result = (await (await GET(request())).json()) as RouteResult;
    expect(result.completed).toBeGreaterThan(0);
    expect(result.left).toBeGreaterThan(0);
    // The jobs that ran at the deadline could not be known not to end.
    const attempts = await jobs.rows(`status = 'pending' and attempts > 0`);
    expect(attempts).toEqual([]);
    // Of the other type that is as slow, nothing waits.
    expect(result.notClaimed).toEqual(['job']);
  });

  test('shares the work with others that are called at the same time', async () => {
    const ids = await jobs.insert(60);
    const ran: number[] = [];
    const job = async () => void ran.push(currentJob().id);
    const results = await Promise.all(Array.from({ length: 4 }, () => call({ job })));
    expect(results.reduce((sum, { processed }) => sum + processed, 0)).toBe(60);
    expect(ran.sort((a, b) => a - b)).toEqual(ids);
  });

  test('says so if the database cannot be reached, and tells onError', async () => {
    const address = await freeAddress();
    const queue = await jobs.openQueue({ databaseConfig: { ...jobs.database.config, ...address } });
    const onError = vi.fn();
    const { GET } = createRouteHandler(() => queue, {}, { secret, onError });
    const response = await GET(request());
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: 'CONNECTION_FAILED',
      message: expect.stringContaining('cannot connect'),
    });
    expect(onError).toHaveBeenCalledWith(expect.objectContaining({ code: 'CONNECTION_FAILED' }));
  });

  test.each([
    ['rejects', () => Promise.reject(new Error('no config'))],
    ['gives something else', () => ({ addJob() {} }) as never],
    ['gives nothing', () => undefined as never],
  ])('says so if getQueue %s', async (_, getQueue) => {
    const onError = vi.fn();
    const { GET } = createRouteHandler(getQueue, {}, { secret, onError });
    const response = await GET(request());
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ error: 'INVALID_ARGUMENT' });
    expect(onError).toHaveBeenCalledTimes(1);
  });

  test('lets a handler end that outlives it without harm', async () => {
    await jobs.insert(1);
    const released = deferred();
    const result = await call({ job: () => released.promise }, { maxDuration: 3, grace: 2 });
    expect(result).toMatchObject({ processed: 1, handedBack: 1 });
    released.resolve();
    expect(await call({ job: async () => {} })).toMatchObject({ completed: 1 });
  });
});

describe('the route answers in time', () => {
  /** An application whose statements are ended with the test, whatever they wait for. */
  const databaseConfig = { application_name: 'route' };
  afterEach(async () => {
    await jobs.database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'route'`,
    );
    await jobs.database.query('drop function if exists stop() cascade');
  });

  /** Calls a route that has four seconds, the last two of them its grace. */
  async function callInTime(options: RouteHandlerOptions = {}) {
    const queue = await jobs.openQueue({ databaseConfig });
    const errors: JobQueueError[] = [];
    const onError = (error: JobQueueError) => void errors.push(error);
    const times = { maxDuration: 4, grace: 2 };
    const handlers = { job: async () => {} };
    const { GET } = createRouteHandler(() => queue, handlers, {
      secret,
      onError,
      ...times,
      ...options,
    });
    const start = performance.now();
    const response = await GET(request());
    expect(performance.now() - start).toBeLessThan(4_000);
    const { status } = response;
    return { status, result: (await response.json()) as RouteResult, errors };
  }

  const old = { status: "'completed'", updated_at: `now() - interval '31 days'` };
  const stuck = { status: "'processing'", locked_at: `now() - interval '1 hour'` };

  /** Makes a statement that deletes a job, or puts one back, run other SQL first. */
  async function trigger(what: string, body: string): Promise<void> {
    await jobs.database.query(
      `create function stop() returns trigger language plpgsql as $$ begin ${body} return new; end $$`,
    );
    await jobs.database.query(`create trigger stop before ${what} execute function stop()`);
  }
  const DELETE = 'delete on job_queue for each row';
  const PUT_BACK = `update on job_queue for each row
    when (old.status = 'processing' and old.lease_expires_at is null and new.status = 'pending')`;

  test('though an old row is locked', async () => {
    await jobs.insert(2, old);
    await jobs.insert(3);
    const client = await jobs.database.pool.connect();
    onTestFinished(() => client.release());
    await client.query(
      `begin; select from job_queue where status = 'completed' limit 1 for update`,
    );
    const { status, result } = await callInTime();
    await client.query('rollback');
    expect(status).toBe(200);
    expect(result).toMatchObject({ processed: 3, completed: 3, left: 0 });
  });

  test('though to delete what is old takes for ever, and says what was not done', async () => {
    await jobs.insert(2, old);
    await jobs.insert(3);
    await trigger(DELETE, 'perform pg_sleep(60);');
    const { status, result, errors } = await callInTime();
    expect(status).toBe(200);
    expect(result).toMatchObject({
      processed: 3,
      completed: 3,
      reclaimed: 0,
      deleted: null,
      left: 0,
    });
    expect(errors).toEqual([
      expect.objectContaining({
        code: 'DEADLINE',
        message: expect.stringContaining('deleting old jobs'),
      }),
    ]);
  });

  test('though to delete what is old fails', async () => {
    await jobs.insert(2, old);
    await jobs.insert(3);
    // Not the fault of a row, which would be passed over. What settles can delete too.
    await trigger(
      'delete on job_queue for each statement',
      `if current_query() not like '%ended%' then
        raise exception 'no' using errcode = 'disk_full';
      end if;`,
    );
    const { status, result, errors } = await callInTime();
    expect(status).toBe(200);
    expect(result).toMatchObject({ processed: 3, completed: 3, deleted: null, left: 0 });
    expect(errors).toEqual([
      expect.objectContaining({ code: 'DATABASE_ERROR', sqlState: '53100' }),
    ]);
  });

  test('though to reclaim what is stuck takes for ever, and runs the jobs first', async () => {
    await jobs.insert(1, stuck);
    await jobs.insert(3);
    await trigger(PUT_BACK, 'perform pg_sleep(60);');
    const { status, result, errors } = await callInTime();
    expect(status).toBe(200);
    expect(result).toMatchObject({
      processed: 3,
      completed: 3,
      reclaimed: null,
      deleted: 0,
      left: 0,
    });
    expect(errors).toEqual([
      expect.objectContaining({
        code: 'DEADLINE',
        message: expect.stringContaining('reclaiming stuck jobs'),
      }),
    ]);
  });

  test('though the table is locked, with an error then', async () => {
    await jobs.insert(3);
    const client = await jobs.database.pool.connect();
    onTestFinished(() => client.release());
    await client.query('begin; lock table job_queue in access exclusive mode');
    const { status, result } = await callInTime();
    await client.query('rollback');
    expect(status).toBe(500);
    // Whether a first statement has given up by then, or is under way.
    expect(result).toEqual({
      error: expect.stringMatching(/^(DATABASE_ERROR|DEADLINE)$/),
      message: expect.stringMatching(/holds a lock|did not answer a claim/),
    });
  });

  test('though the server never answers', async () => {
    await using server = await openServer();
    const queue = await jobs.openQueue({
      databaseConfig: { ...jobs.database.config, ...server.address },
    });
    const times = { maxDuration: 3, grace: 2 };
    const options = { secret, onError: () => {}, ...times };
    const { GET } = createRouteHandler(() => queue, {}, options);
    const start = performance.now();
    expect((await GET(request())).status).toBe(500);
    expect(performance.now() - start).toBeLessThan(3_000);
  });
});

describe('what the route tells onError', () => {
  async function callInVain(onError: (error: JobQueueError) => unknown) {
    const address = await freeAddress();
    const queue = await jobs.openQueue({ databaseConfig: { ...jobs.database.config, ...address } });
    const { GET } = createRouteHandler(() => queue, {}, { secret, onError: onError as () => void });
    return GET(request());
  }

  test('it tells once', async () => {
    const onError = vi.fn();
    expect((await callInVain(onError)).status).toBe(500);
    expect(onError).toHaveBeenCalledOnce();
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('onError itself fails');
      },
    ],
    ['rejects', () => Promise.reject(new Error('onError itself fails'))],
  ])('changes nothing where onError %s', async (_, onError) => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => printed.mockRestore());
    const response = await callInVain(onError);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ error: 'CONNECTION_FAILED' });
    expect(printed.mock.calls).toEqual([[expect.stringContaining('onError threw')]]);
  });
});

test('the route says what did not fit into its time', async () => {
  const tally = {
    ...{ started: 2, completed: 1, failed: 0, cancelled: 0, released: 1, snoozed: 3 },
    didNotFit: [{ id: 7, jobType: 'slow' }],
    notClaimed: ['slow', 'slower'],
  };
  const internals = {
    createProcessor: () => ({ runUntilEmpty: async () => tally }),
    reclaimStuckJobs: async () => 0,
    oldJobs: () => [],
    deleteOldJobs: async () => ({ deleted: 0, last: null }),
    backlog: async () => ({ due: 1, nextDueAt: null, waiting: ['slow'] }),
  };
  const queue = { [Symbol.for('pg-bg-job-queue.internals')]: () => internals } as never;
  const { GET } = createRouteHandler(() => queue, {}, { secret });
  expect(await (await GET(request())).json()).toMatchObject({
    processed: 2,
    handedBack: 1,
    snoozed: 3,
    didNotFit: [{ id: 7, job_type: 'slow' }],
    notClaimed: ['slow'],
    left: 1,
  });
});

describe('a request without the secret is refused', () => {
  const refuses = async (options: RouteHandlerOptions, headers: Record<string, string>) => {
    await jobs.database.query('truncate job_queue');
    await jobs.insert(1);
    const queue = await jobs.openQueue();
    const getQueue = vi.fn(() => queue);
    const { GET, POST } = createRouteHandler(getQueue, { job: async () => {} }, options);
    for (const handle of [GET, POST]) {
      const response = await handle(request(headers));
      expect(response.status).toBe(401);
      expect(await response.json()).toEqual({ error: 'UNAUTHORIZED' });
    }
    expect(getQueue).not.toHaveBeenCalled();
    expect(await jobs.statuses()).toEqual({ pending: 1 });
  };

  test.each<[string, Record<string, string>]>([
    ['no header', {}],
    ['an empty one', { authorization: '' }],
    ['another secret', { authorization: 'Bearer correct horsf' }],
    ['a longer one', { authorization: `Bearer ${secret}!` }],
    ['the secret alone', { authorization: secret }],
    ['another scheme', { authorization: `Basic ${secret}` }],
  ])('%s', async (_, headers) => {
    await refuses({ secret }, headers);
  });

  test.each<[string, string | undefined]>([
    ['missing', undefined],
    ['empty', ''],
  ])('any, where the secret is %s', async (_, unset) => {
    vi.stubEnv('CRON_SECRET', unset);
    const told = vi.spyOn(console, 'error').mockImplementation(() => {});
    await refuses({}, { authorization: 'Bearer undefined' });
    await refuses({ secret: undefined }, { authorization: 'Bearer ' });
    told.mockRestore();
  });

  test('which is the one of CRON_SECRET, as it is at the time', async () => {
    const queue = await jobs.openQueue();
    const { GET } = createRouteHandler(() => queue, {});
    vi.stubEnv('CRON_SECRET', secret);
    expect((await GET(request())).status).toBe(200);
    vi.stubEnv('CRON_SECRET', 'another');
    expect((await GET(request())).status).toBe(401);
  });
});

describe('createRouteHandler refuses', () => {
  const queue = () => jobs.openQueue();
  test.each<[object, string]>([
    [{ batchSize: 5 }, 'unknown option "batchSize"'],
    [{ maxDuration: 0 }, 'maxDuration must be a number between 1 and 86400, got 0'],
    [{ maxDuration: 5, grace: 6 }, 'grace must be a number between 0 and 5, got 6'],
    [{ secret: 5 }, 'secret must be a string'],
    [{ daysToKeep: -1 }, 'daysToKeep must be a number between 0 and 1000000, got -1'],
    [{ concurrency: 0 }, 'concurrency must be an integer between 1 and 10000, got 0'],
    [{ reclaim: 1 }, 'reclaim must be true or false, got 1'],
  ])('%o', (options, message) => {
    expect(() => createRouteHandler(queue, {}, options)).toThrow(`createRouteHandler: ${message}`);
  });

  test('what is no queue or no handlers', () => {
    expect(() => createRouteHandler({} as never, {})).toThrow('getQueue must be a function');
    expect(() => createRouteHandler(queue, null as never)).toThrow('handlers must be an object');
  });
});
