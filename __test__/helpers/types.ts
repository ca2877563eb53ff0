import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const TSC = require.resolve('typescript/bin/tsc');

/** What the TypeScript compiler says about a project, in its own words; nothing if all is well. */
export async function diagnostics(project: string): Promise<string> {
  const compile = promisify(execFile)(process.execPath, [TSC, '-p', project]);
  return compile.then(
    ({ stdout }) => stdout,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  );
}
