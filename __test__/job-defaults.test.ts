/** The options that jobs of a type have where `addJob` leaves them out: `defaults` of `initJobQueue`. */
import { expect, test } from 'vitest';
import type { JobQueueConfig } from '../index.js';
import { useJobs } from './helpers/jobs.js';
import { openQueue, rejection } from './helpers/queue.js';

const jobs = useJobs();

const defaults = {
  send_email: {
    max_attempts: 5,
    priority: -7,
    timeout_ms: 30_000,
    retry_delay_ms: 1_500,
    retry_factor: 1.5,
    retry_max_delay_ms: 60_000,
  },
  report: { priority: 1 },
};

test('each is taken where the job does not say', async () => {
  const queue = await jobs.openQueue({ defaults });
  const id = await queue.addJob({ job_type: 'send_email', payload: null });
  expect(await queue.getJob(id)).toMatchObject({ ...defaults.send_email, payload: null });
});

test('a job may say otherwise, also null, but not undefined', async () => {
  const queue = await jobs.openQueue({ defaults });
  const said = { priority: 9, timeout_ms: null, max_attempts: undefined };
  const id = await queue.addJob({ job_type: 'send_email', payload: 1, ...said });
  expect(await queue.getJob(id)).toMatchObject({ priority: 9, timeout_ms: null, max_attempts: 5 });
});

test('they are those of its type, in addJobs and on a client too', async () => {
  const queue = await jobs.openQueue({ defaults });
  const list = ['report', 'send_email', 'other', 'constructor'].map((job_type) => {
    return { job_type, payload: null };
  });
  const expected = [1, -7, 0, 0];
  const ids = await queue.addJobs(list);
  const db = queue.getPool();
  ids.push(...(await queue.addJobs(list, { db })));
  for (const job of list) ids.push(await queue.addJob(job, { db }));
  const rows = await Promise.all(ids.map((id) => queue.getJob(id)));
  expect(rows.map((row) => row?.priority)).toEqual([...expected, ...expected, ...expected]);
});

test.each<[unknown, RegExp]>([
  [[], /defaults must be an object, got an (empty )?array/],
  ['report', /defaults must be an object, got a string/],
  [new Map([['report', {}]]), /defaults must be an object with options by job type/],
  [{ '': { priority: 1 } }, /a job type in defaults must be a string of 1 to 255 characters/],
  [{ report: 5 }, /defaults\["report"\] must be an object, got a number/],
  [{ report: null }, /defaults\["report"\] must be an object, got null/],
  [{ report: { prioritty: 1 } }, /unknown option "prioritty" \(did you mean priority\?\)/],
  [{ report: { run_at: new Date() } }, /unknown option "run_at"/],
  [{ report: { priority: 1.5 } }, /defaults\["report"\]\.priority must be an integer/],
  [{ report: { max_attempts: null } }, /defaults\["report"\]\.max_attempts must be an integer/],
  [{ report: { retry_factor: 0 } }, /defaults\["report"\]\.retry_factor must be/],
])('%o is refused', async (wrong, message) => {
  const config = { defaults: wrong as JobQueueConfig['defaults'] };
  const error = await rejection(openQueue(jobs.database, config), 'INVALID_CONFIG', message);
  expect(error.message).toMatch(/^initJobQueue: /);
});

test.each([[undefined], [null], [{}], [{ report: undefined }]])('%o gives none', async (none) => {
  const queue = await jobs.openQueue({ defaults: none as JobQueueConfig['defaults'] });
  const id = await queue.addJob({ job_type: 'report', payload: null });
  expect(await queue.getJob(id)).toMatchObject({ max_attempts: 3, priority: 0, timeout_ms: null });
});
