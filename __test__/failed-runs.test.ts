import { describe, expect, test } from 'vitest';
import type { JobQueueError } from '../ts/errors/job-queue-error.js';
import { FailedRuns } from '../ts/processor/failed-runs.js';
import { JobRun } from '../ts/processor/job-run.js';

/** A run that failed after it began to complete its job, and what is told of it. */
async function runThatThrew({ engineRuns = true } = {}) {
  const told: string[] = [];
  const failures = new FailedRuns({
    failed: (error, { id }) => void told.push(`job ${id} failed: ${error}`),
    report: ({ cause }: JobQueueError) => void told.push(`reported: ${cause}`),
  });
  const control = {
    begun: () => {},
    begunLate: () => {},
    extendTimeout: () => {},
    completeIn: async () => true,
  };
  const limits = { attempts: 1, max_attempts: 3, priority: 0, run_at: null };
  const job = { id: 1, runNo: 5, job_type: 'job', payload: null, ...limits };
  const run = new JobRun(job, control);
  failures.engineBegan();
  await run.completeIn({ query: async () => {}, release: () => {} } as never).catch(() => {});
  expect(JobRun.completion(run)).toBe('unknown');
  if (!engineRuns) failures.engineEnded();
  failures.threw(run, 'thrown');
  return { told, failures };
}

const oneTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('a run that throws and may have completed its job', () => {
  test('is told of when the engine knows, and once', async () => {
    const { told, failures } = await runThatThrew();
    failures.settledByHandler(1, 4, true);
    failures.settledByHandler(2, 5, true);
    expect(told).toEqual([]);
    failures.settledByHandler(1, 5, true);
    failures.settledByHandler(1, 5, false);
    failures.engineEnded();
    await oneTurn();
    expect(told).toEqual(['reported: thrown']);
  });

  test('is heard of though the last word of the engine comes right behind its end', async () => {
    const { told, failures } = await runThatThrew();
    failures.engineEnded();
    failures.settledByHandler(1, 5, true);
    await oneTurn();
    expect(told).toEqual(['reported: thrown']);
  });

  test('has failed if the engine ends and never says', async () => {
    const { told, failures } = await runThatThrew();
    failures.engineEnded();
    await oneTurn();
    failures.settledByHandler(1, 5, true);
    expect(told).toEqual(['job 1 failed: thrown']);
  });

  test('is not kept where no engine runs', async () => {
    const { told } = await runThatThrew({ engineRuns: false });
    expect(told).toEqual(['job 1 failed: thrown']);
  });
});
