/**
 * Programs that some tests need and npm does not bring. Where one is missing, its tests do not run,
 * and the run names them at its end; in CI it fails.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from 'vitest';

const testsThatNeed = {
  chromium: 'the Next.js example in a browser',
  pgbouncer: 'the queue behind a connection pooler',
};
export type Program = keyof typeof testsThatNeed;

/** The path of a program, if it is installed. Debian has its daemons outside of a user's PATH. */
export function findProgram(program: Program): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

/** As `describe`, for tests that use a program; `body` gets its path. */
export function describeWith(program: Program, name: string, body: (path: string) => void): void {
  const path = findProgram(program);
  describe.skipIf(path === undefined)(name, () => body(path ?? program));
}

/** What does not run here for want of a program, a line each. */
export function missingTests(): string[] {
  return (Object.keys(testsThatNeed) as Program[])
    .filter((program) => findProgram(program) === undefined)
    .map((program) => `NOT RUN for want of ${program}: ${testsThatNeed[program]}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
