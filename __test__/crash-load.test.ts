import { expect, test } from 'vitest';
import { runCrashTest } from './crash/run.js';

/** As in `npm run test:crash`, but briefer. A seed that failed can be given. */
const seed = Number(process.env.CRASH_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

test('no job is lost, run by two at once or settled by the wrong run, whatever dies', async () => {
  const summary = await runCrashTest({
    seed,
    minutes: 0.3,
    jobs: 800,
    workers: 4,
    faultEvery: 500,
    // A statement that takes up to ten seconds needs a longer run than this to recover from.
    without: ['slow'],
  });
  expect(summary.violations, `CRASH_TEST_SEED=${seed}`).toEqual([]);
  expect(summary.jobs.added).toBeGreaterThanOrEqual(800);
  expect(Object.keys(summary.faults).length).toBeGreaterThan(8);
}, 240_000);
