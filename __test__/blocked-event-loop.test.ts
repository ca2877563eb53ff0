/** A handler that blocks the event loop, while another job waits for its beginning. */
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { createRouteHandler, currentJob, type ProcessorOptions } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

/** The job that blocks, and the one that is to begin after it, in one batch. */
let [blocking, waiting] = [0, 0];
beforeEach(async () => {
  [blocking = 0] = await jobs.insert(1, { job_type: "'block'", priority: '9' });
  [waiting = 0] = await jobs.insert(1);
});

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Handlers of the two, the first of which blocks the loop for a while, and a journal of the second's runs. */
function handlers(ms: number, first: () => void = () => {}) {
  const ran = new Journal<boolean>();
  return {
    ran,
    handlers: {
      block: async () => {
        first();
        block(ms);
      },
      job: async () => ran.note(currentJob().signal.aborted),
    },
  };
}

const options: ProcessorOptions = {
  leaseDuration: 1_000,
  onError: () => {},
  onJobFailed: () => {},
};

test('its time limit counts from its beginning', async () => {
  await jobs.update('timeout_ms = 700, max_attempts = 1', waiting);
  const queue = await jobs.openQueue();
  const { ran, handlers: both } = handlers(1_500);
  expect(await queue.createProcessor(both, options).start()).toBe(2);
  expect(ran.notes).toEqual([false]);
  expect(await jobs.rows()).toMatchObject([
    { status: 'completed', attempts: 1 },
    { status: 'completed', attempts: 1, error_history: [] },
  ]);
});

test('it does not begin after the deadline of a route, and loses no attempt', async () => {
  await jobs.update('max_attempts = 1', waiting);
  const queue = await jobs.openQueue();
  const { ran, handlers: both } = handlers(2_500);
  const { GET } = createRouteHandler(async () => queue, both, {
    ...options,
    secret: 's',
    maxDuration: 1.5,
  });
  const call = () => GET(new Request('http://app/', { headers: { authorization: 'Bearer s' } }));
  expect(await (await call()).json()).toMatchObject({ processed: 1 });
  await until(async () => (await jobs.row(waiting)).status === 'pending');
  expect(await jobs.row(waiting)).toMatchObject({ attempts: 0, error_history: [] });
  expect(ran.notes).toEqual([]);
  await jobs.update("status = 'cancelled'", blocking);
  expect(await (await call()).json()).toMatchObject({ processed: 1, completed: 1 });
  expect(ran.notes).toEqual([false]);
});

test.each([
  ['is cancelled', 'cancel_requested_at = now()', 'cancelled'],
  ['is changed by hand', "status = 'completed', lease_expires_at = null", 'completed'],
])('it does not begin if it %s meanwhile', async (_, assignments, status) => {
  const client = await jobs.database.pool.connect();
  onTestFinished(() => client.release());
  const queue = await jobs.openQueue();
  const { ran, handlers: both } = handlers(2_500, () => {
    // It is on its way when the loop is blocked.
    void client.query(
      `select pg_sleep(0.3); update job_queue set ${assignments} where id = ${waiting}`,
    );
  });
  await queue.createProcessor(both, options).start();
  expect(ran.notes).toEqual([]);
  await jobs.untilStatus(waiting, status);
  expect(await jobs.row(blocking)).toMatchObject({ status: 'completed' });
});
