/** What docs/production.md asks of the table, as it stands there. */
import { expect, test } from 'vitest';
import { useJobs } from './helpers/jobs.js';
import { fragmentsOf } from './helpers/snippets.js';

const jobs = useJobs();
const [waiting = '', running = '', givenUp = '', retrying = ''] = fragmentsOf(
  'docs/production.md',
  'sql',
);

test('the queries tell what waits, what was given up, and what will be tried again', async () => {
  const type = { job_type: "'email'" };
  await jobs.insert(2, { ...type, run_at: "now() - interval '1 hour'" });
  await jobs.insert(1, { ...type, run_at: "now() + interval '1 hour'" });
  await jobs.insert(1, { ...type, status: "'completed'" });
  const failed = { ...type, status: "'failed'", attempts: '3', max_attempts: '3' };
  const error_history = `'[{"message": "first"}, {"message": "last"}]'`;
  const [lost] = await jobs.insert(1, { ...failed, error_history });
  const next_attempt_at = "now() + interval '1 hour'";
  await jobs.insert(2, { ...failed, attempts: '1', next_attempt_at });
  await jobs.insert(1, { ...failed, updated_at: "now() - interval '2 hours'" });

  const [wait, ...others] = await jobs.database.query(waiting);
  expect(others).toEqual([]);
  expect(wait).toMatchObject({ job_type: 'email', due: 2, longest_wait: { hours: 1 } });
  expect(await jobs.database.query(givenUp)).toMatchObject([
    { id: String(lost), job_type: 'email', attempts: 3, last_error: 'last' },
  ]);
  expect(await jobs.database.query(retrying)).toMatchObject([
    { job_type: 'email', retrying: 2, next: expect.any(Date) },
  ]);
});

test('a query tells which jobs have run for long, and whether their worker is gone', async () => {
  const type = { job_type: "'report'", status: "'processing'", locked_by: "'worker-1'" };
  const old = { ...type, locked_at: "now() - interval '20 minutes'" };
  const [hanging] = await jobs.insert(1, {
    ...old,
    lease_expires_at: "now() + interval '20 seconds'",
  });
  const [lost] = await jobs.insert(1, {
    ...old,
    locked_at: "now() - interval '19 minutes'",
    lease_expires_at: "now() - interval '18 minutes'",
  });
  await jobs.insert(1, { ...type, locked_at: "now() - interval '5 minutes'" });

  expect(await jobs.database.query(running)).toMatchObject([
    {
      id: String(hanging),
      locked_by: 'worker-1',
      running_for: { minutes: 20 },
      worker_is_gone: false,
    },
    { id: String(lost), locked_by: 'worker-1', running_for: { minutes: 19 }, worker_is_gone: true },
  ]);
});

test('what waits can be read from an index that holds nothing else', async () => {
  const client = await jobs.database.pool.connect();
  try {
    // The table of a test is too small for an index to pay.
    await client.query('set enable_seqscan = off');
    const { rows } = await client.query(`explain ${waiting}`);
    expect(JSON.stringify(rows)).toMatch(/job_queue_ready/);
  } finally {
    client.release(true);
  }
});
