/** The values that the table refuses from every writer, because the engine's statements would fail on them. */
import { expect, test } from 'vitest';
import { cliOutput } from './helpers/cli.js';
import { useJobs } from './helpers/jobs.js';
import { originalDatabase } from './helpers/original.js';
import { openQueue } from './helpers/queue.js';

const jobs = useJobs();
const refused = { code: '23514', constraint: 'job_queue_bearable' };

test.each([
  ['id', '9007199254740993'],
  ['run_no', '9007199254740992'],
  ['run_no', '9223372036854775807'],
  ['run_no', '-1'],
  ['id', '-9223372036854775808'],
  ['id', '-9007199254740993'],
])('a job with a %s of %s', async (column, value) => {
  const [id = 0] = await jobs.insert(1);
  await expect(jobs.update(`${column} = ${value}`, id)).rejects.toMatchObject(refused);
  await expect(jobs.insert(1, { [column]: value })).rejects.toMatchObject(refused);
});

/** By hand, in each status: nothing else makes a job that stops the others. */
test.each([
  ['run_no', '9007199254740990'],
  ['attempts', '2147483647'],
  ['attempts', '-2147483648'],
  ['max_attempts', '-2147483648'],
  ['max_attempts', '0'],
  ['priority', '-2147483648'],
  ['run_at', "'-infinity'"],
  ['run_at', 'null'],
  ['created_at', "'-infinity'"],
  ['updated_at', "'infinity'"],
  ['next_attempt_at', "'-infinity'"],
  ['locked_at', "'infinity'"],
  ['locked_at', "'-infinity'"],
  ['lease_expires_at', "'infinity'"],
  ['lease_expires_at', "'-infinity'"],
  ['lease_expires_at', "'294276-12-31'"],
  ['claim_token', '-9223372036854775808'],
  ['refusals', '2147483647'],
  ['refusals', '-2147483648'],
  ['timeout_ms', '2147483647'],
  ['job_type', "''"],
  ['status', "'somebody''s own'"],
  ['error_history', 'null'],
  ['error_history', "'1'"],
])('a job with a %s of %s holds up no other', async (column, value) => {
  const queue = await jobs.openQueue();
  for (const status of ['pending', 'failed', 'processing', 'completed', 'cancelled']) {
    await jobs.insert(2, {
      status: `'${status}'`,
      next_attempt_at: "now() - interval '1 hour'",
      locked_at: "now() - interval '2 hours'",
      lease_expires_at: "now() - interval '1 hour'",
      [column]: value,
    });
  }
  const [good = 0] = await jobs.insert(1, { priority: '-2147483648' });
  const ran: unknown[] = [];
  const job = async (payload: unknown) => {
    ran.push(payload);
    throw new Error('no');
  };
  const options = { batchSize: 100, onError: () => {} };
  await queue.createProcessor({ job }, options).start();
  expect(await jobs.row(good)).toMatchObject({ status: 'failed', attempts: 1 });
  for (const { id } of await queue.getAllJobs()) {
    await queue.retryJob(id).catch(() => {});
    await queue.cancelJob(id);
  }
  await queue.reclaimStuckJobs(0);
  await queue.cleanupOldJobs(0);
});

test('an adopted table whose rows hold it is brought to what it may be', async () => {
  await using database = await originalDatabase();
  await database.query(
    `insert into job_queue (job_type, payload, attempts) values ('task', '1', -5000), ('task', '2', 0)`,
  );
  await cliOutput(['migrate'], database);
  await using queue = await openQueue(database);
  expect(await queue.createProcessor({ task: async () => {} }).start()).toBe(2);
  const rows = await database.query('select attempts from job_queue');
  expect(rows).toEqual([{ attempts: 1 }, { attempts: 1 }]);
});
