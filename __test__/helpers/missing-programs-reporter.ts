import type { Reporter } from 'vitest/node';
import { missingTests } from './programs.js';

/** Names at the end of a run what could not run on this machine; in CI everything must. */
export default class MissingProgramsReporter implements Reporter {
  onTestRunEnd(): void {
    for (const line of missingTests()) {
      console.warn(line);
      if (process.env.CI) process.exitCode = 1;
    }
  }
}
