/**
 * `npm run test:crash -- --minutes 15 --jobs 100000 --seed 1`. Prints what it did and found as JSON, and
 * ends with code 1 if a promise was broken. SIGINT ends it early, the checks included.
 */
import { parseArgs } from 'node:util';
import { runCrashTest } from './run.js';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '5000' },
      // The mean time from one fault to the next, in milliseconds.
      'fault-every': { type: 'string', default: '1500' },
      // Kinds of faults, and of constant obstacles, to leave out: `slow,clock`.
      without: { type: 'string', default: '' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    },
  });
  const seed = Number(values.seed);
  console.error(`seed ${seed}`);
  const interruption = new AbortController();
  process.once('SIGINT', () => interruption.abort());
  const summary = await runCrashTest({
    minutes: Number(values.minutes),
    jobs: Number(values.jobs),
    faultEvery: Number(values['fault-every']),
    without: values.without.split(',').filter(Boolean),
    seed,
    signal: interruption.signal,
    onProgress: (line) => console.error(line),
  });
  console.log(JSON.stringify(summary, null, 2));
  if (summary.violations.length > 0) {
    console.error(`${summary.violations.length} promises were broken; seed ${seed}`);
    process.exitCode = 1;
  }
}

void main();
