import { expect, test } from 'vitest';
import { currentJob, type JobContext, JobQueueError } from '../index.js';
import { Journal, useJobs } from './helpers/jobs.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

test("a job that outlasts its lease stays its worker's, and one that was taken away is told", async () => {
  const queue = await jobs.openQueue();
  const [long = 0, taken = 0] = await jobs.insert(2);
  const running = new Journal<JobContext>();
  const all = deferred();
  const job = async () => {
    running.note(currentJob());
    await all.promise;
  };
  const errors: JobQueueError[] = [];
  const processor = queue.createProcessor(
    { job },
    { concurrency: 2, onError: (error) => errors.push(error) },
  );
  const batch = processor.start();
  await running.reaches(2);
  const [longRun, takenRun] = running.notes.sort((a, b) => a.id - b.id);
  const told = deferred<unknown>();
  takenRun?.signal.addEventListener('abort', () => told.resolve(takenRun.signal.reason));
  const leases = async () => (await jobs.rows()).map((row) => Number(row.lease_expires_at));
  const [before = 0] = await leases();
  await jobs.update("status = 'cancelled'", taken);

  // The lease is thirty seconds, and extended at its half.
  const reason = await told.promise;
  await until(async () => ((await leases())[0] ?? 0) > before);

  expect(reason).toBeInstanceOf(JobQueueError);
  expect(reason).toMatchObject({ code: 'LEASE_LOST' });
  expect(longRun?.signal.aborted).toBe(false);
  const [afterLong = 0, afterTaken] = await leases();
  expect(afterLong - before).toBeGreaterThan(10_000);
  expect(afterTaken).toBe(before);
  expect(await jobs.row(taken)).toMatchObject({ status: 'cancelled', attempts: 1 });

  all.resolve();
  expect(await batch).toBe(2);
  expect(await jobs.row(long)).toMatchObject({ status: 'completed', attempts: 1 });
  expect(errors.map((error) => error.code)).toEqual(['LEASE_LOST']);
});
