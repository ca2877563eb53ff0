/** `migrate down` while workers run jobs. */
import { expect, test } from 'vitest';
import { cliOutput } from './helpers/cli.js';
import { createDatabase } from './helpers/database.js';
import { heldHandler } from './helpers/jobs.js';
import { openQueue, runDueJobs } from './helpers/queue.js';

test('their jobs are put back, and run after the next migration', async () => {
  await using database = await createDatabase();
  await using queue = await openQueue(database);
  const [first = 0, second = 0] = await queue.addJobs([
    { job_type: 'task', payload: 1 },
    { job_type: 'task', payload: 2 },
  ]);
  const held = heldHandler();
  const options = { concurrency: 1, onError: () => {} };
  const batch = queue
    .createProcessor({ task: held.handler }, options)
    .start()
    .catch(() => {});
  await held.started;
  await database.query(`insert into job_queue (job_type, payload, status, attempts, locked_at, locked_by)
    values ('task', '"claimed by the original"', 'processing', 1, now(), 'the original')`);
  const [{ id: cancelled = 0 } = {}] = await database.query<{ id: number }>(
    `insert into job_queue (job_type, payload, status, attempts, locked_at, locked_by, lease_expires_at,
      cancel_requested_at)
    values ('task', '"to be cancelled"', 'processing', 1, now(), 'another', now() + interval '1 hour', now())
    returning id::int`,
  );
  const row = (id: number) =>
    database.query('select status, attempts, locked_at, locked_by from job_queue where id = $1', [
      id,
    ]);

  await cliOutput(['migrate', 'down', '2'], { url: database.directUrl });

  const putBack = { status: 'pending', attempts: 0, locked_at: null, locked_by: null };
  expect(await row(first)).toEqual([putBack]);
  expect(await row(second)).toEqual([putBack]);
  expect(await row(cancelled)).toEqual([{ ...putBack, status: 'cancelled' }]);
  // What no lease brings back is not this package's.
  expect(
    await database.query(
      `select status, attempts, locked_by from job_queue where locked_by is not null`,
    ),
  ).toEqual([{ status: 'processing', attempts: 1, locked_by: 'the original' }]);

  await cliOutput(['migrate'], { url: database.directUrl });
  expect(await runDueJobs(queue)).toEqual([first, second]);
  // The outcome of a run from before is refused.
  held.release();
  await batch;
  expect(await row(first)).toMatchObject([{ status: 'completed', attempts: 1 }]);
});
