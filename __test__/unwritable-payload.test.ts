/**
 * A payload that Postgres holds, and cannot write as text. On a server of its own: a backend that tries that heeds no
 * signals, so that the databases of other tests could be neither created nor dropped meanwhile.
 */
import { expect, onTestFinished, test } from 'vitest';
import type { JobQueueError } from '../index.js';
import { startPostgres } from '../tools/embedded-postgres.js';
import { cliOutput } from './helpers/cli.js';
import { createDatabase } from './helpers/database.js';
import { Jobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

test('a claim ends a job whose payload cannot be read, and no other', async () => {
  const server = await startPostgres();
  onTestFinished(() => server.stop());
  const database = await createDatabase({ migrated: false, serverUrl: server.url() });
  await cliOutput(['migrate'], { url: database.url });
  const jobs = new Jobs(database);
  await jobs.insert(3);
  const [id = 0] = await jobs.insert(1, {
    payload: `('[' || repeat('1e131071,', 10000) || '1]')::jsonb`,
    priority: '1',
  });
  const ran: unknown[] = [];
  const told: JobQueueError[] = [];
  const queue = await jobs.openQueue();
  const processor = queue.createProcessor(
    { job: async (payload: unknown) => void ran.push(payload) },
    { onError: (error) => void told.push(error) },
  );
  // Each time that it is read, it takes the server seconds to find out that it cannot be: on a slow machine more than
  // a statement has, which is told, and then it is tried again.
  await until(
    async () => {
      while ((await processor.start()) > 0) {}
      const [now] = await database.query(`select status from job_queue where id = ${id}`);
      return now?.status === 'failed';
    },
    { timeoutMs: 80_000 },
  );
  expect(ran).toHaveLength(3);
  const [row] = await database.query(
    `select status, attempts, next_attempt_at, error_history -> -1 ->> 'message' as why
    from job_queue where id = ${id}`,
  );
  expect(row).toMatchObject({ status: 'failed', attempts: 3, next_attempt_at: null });
  expect(row?.why).toMatch('54000');
  const [why, slow] = [true, false].map((is) =>
    told.filter(({ code }) => (code === 'INVALID_PAYLOAD') === is),
  ) as [JobQueueError[], JobQueueError[]];
  expect(slow.map(({ message }) => /has not answered within/.test(message))).toEqual(
    slow.map(() => true),
  );
  expect(why).toMatchObject([{ code: 'INVALID_PAYLOAD', sqlState: '54000' }]);
  expect(why[0]?.message).toMatch(`job ${id}`);
}, 120_000);
