/** A run that lost its job writes nothing, whichever worker has the job now, and whatever the server's clock says. */
import { expect, test } from 'vitest';
import type { JobQueueError } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { OriginalCode } from './helpers/original.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

/** A run of job 1 whose lease is over, as that of a frozen process: it has not heard of it. */
async function staleRun() {
  const [id = 0] = await jobs.insert(1);
  const queue = await jobs.openQueue();
  const { handler, started, release } = heldHandler();
  const told = new Journal<JobQueueError>();
  const processor = queue.createProcessor(
    { job: handler },
    { onError: (error) => told.note(error) },
  );
  const ran = processor.start();
  await started;
  await jobs.endLeases(id);
  return {
    id,
    queue,
    told,
    async thaw() {
      release();
      await ran;
    },
  };
}

const original = () => new OriginalCode(jobs.database);

test('after retryJob and a claim by the original’s code, the outcome of a stale run is refused', async () => {
  const { id, queue, told, thaw } = await staleRun();
  await queue.retryJob(id);
  expect(await original().claim(1)).toMatchObject([{ id: String(id) }]);
  await thaw();
  expect(await jobs.row(id)).toMatchObject({ status: 'processing', locked_by: 'original' });
  expect(told.notes).toMatchObject([{ code: 'LEASE_LOST' }]);
});

test('after a reclaim and a claim by the original’s code, the outcome of a stale run is refused', async () => {
  const { id, told, thaw } = await staleRun();
  await jobs.update(`locked_at = now() - interval '1 hour'`, id);
  await original().reclaim();
  expect(await original().claim(1)).toMatchObject([{ id: String(id) }]);
  await thaw();
  expect(await jobs.row(id)).toMatchObject({ status: 'processing', locked_by: 'original' });
  expect(told.notes).toMatchObject([{ code: 'LEASE_LOST' }]);
});

test('the lease of a run that another worker has now is not extended by the one that had it', async () => {
  const [id = 0] = await jobs.insert(1);
  const queue = await jobs.openQueue();
  const { handler, started, release } = heldHandler();
  const processor = queue.createProcessor(
    { job: handler },
    { leaseDuration: 1_000, onError: () => {} },
  );
  const ran = processor.start();
  const { signal } = await started;
  // As by a claim.
  await jobs.update(`run_no = run_no + 1, lease_expires_at = now() + interval '1 hour'`, id);
  const { lease_expires_at: lease } = await jobs.row(id);
  await until(() => signal.aborted);
  expect(signal.reason).toMatchObject({ code: 'LEASE_LOST' });
  release();
  await ran;
  expect(await jobs.row(id)).toMatchObject({ status: 'processing', lease_expires_at: lease });
});

test('retryJob raises run_no', async () => {
  const [id = 0] = await jobs.insert(1, { status: `'cancelled'`, run_no: '7' });
  const queue = await jobs.openQueue();
  await queue.retryJob(id);
  const [row] = await jobs.database.query<{ run_no: string }>('select run_no from job_queue');
  expect(Number(row?.run_no)).toBeGreaterThan(7);
});

/** Sets the server's clock back, as it were: all that it has noted lies that much later. */
const setBack = (by: string) =>
  jobs.database.query(
    `update job_queue set locked_at = locked_at + $1::interval,
      lease_expires_at = lease_expires_at + $1::interval`,
    [by],
  );

test('a clock that goes back by more than a lease costs a run nothing', async () => {
  const [id = 0] = await jobs.insert(1);
  const queue = await jobs.openQueue();
  const { handler, started, release } = heldHandler();
  const ran = queue.createProcessor({ job: handler }, { leaseDuration: 1_000 }).start();
  const { signal } = await started;
  await setBack('1 hour');
  // Its lease is extended by the clock as it is now, and still counts.
  await until(async () => ((await jobs.row(id)).lease_left ?? 10_000) < 10);
  const { locked_at, lease_expires_at } = await jobs.row(id);
  expect(lease_expires_at?.getTime()).toBeGreaterThan(locked_at?.getTime() ?? 0);
  expect(signal.aborted).toBe(false);
  release();
  await ran;
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
});

test('a clock that goes back does not keep the jobs of lost workers', async () => {
  const [id = 0] = await jobs.insert(1, {
    status: `'processing'`,
    attempts: '1',
    locked_at: 'now()',
    lease_expires_at: `now() + interval '2 seconds'`,
  });
  await setBack('1 hour');
  const queue = await jobs.openQueue();
  const done = new Journal();
  const processor = queue.createProcessor({ job: async () => done.note(id) }, { pollInterval: 50 });
  processor.startInBackground();
  await done.reaches(1);
  await processor.stopAndDrain();
});
