/**
 * Programs that some tests need and npm does not bring. Where one is missing, its tests do not run,
 * and the run names them at its end; in CI it fails.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const testsThatNeed = {
  chromium: 'the Next.js example in a browser',
  faketime: "the crash test's faults of the server's clock",
  pgbouncer: 'the queue behind a connection pooler',
};
export type Program = keyof typeof testsThatNeed;

/** The path of a program, if it is installed. Debian has its daemons outside of a user's PATH. */
export function findProgram(program: Program): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

/** The library that `faketime` has a program preload, which then sees another time than the machine's. */
export function findClockLibrary(): string | undefined {
  const faketime = findProgram('faketime');
  if (!faketime) return undefined;
  const asked = execFileSync(faketime, ['-f', '+0', 'printenv', 'LD_PRELOAD'], {
    encoding: 'utf8',
  });
  return asked.trim() || undefined;
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
