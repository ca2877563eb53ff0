import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const TSC = require.resolve('typescript/bin/tsc');
const PROJECTS = join(__dirname, 'types');

/** What the compiler says about a project, in its own words. */
async function diagnostics(project: string): Promise<string> {
  const compile = promisify(execFile)(process.execPath, [TSC, '-p', join(PROJECTS, project)]);
  return compile.then(
    ({ stdout }) => stdout,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  );
}

test.each([
  ["Node's module resolution", 'tsconfig.nodenext.json'],
  ["a bundler's module resolution", 'tsconfig.bundler.json'],
])(
  'the README compiles, mistakes do not, and types are inferred, with %s',
  async (_, project) => {
    expect(await diagnostics(project)).toBe('');
  },
  120_000,
);
