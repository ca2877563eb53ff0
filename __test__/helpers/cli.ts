/** The program `pg-bg-job-queue-cli`, as built, in a process of its own. */
import { readdirSync } from 'node:fs';
import { join, parse } from 'node:path';
import { expect } from 'vitest';
import { runScript } from './child.js';

/** Where the package has its SQL files. */
export const migrationsFolder = join(__dirname, '../../migrations');

export interface CliOptions {
  env?: NodeJS.ProcessEnv;
  /** The database of PG_BG_JOB_QUEUE_DATABASE. Without it, that is not set. */
  url?: string;
}

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the program to its end, and makes sure that it did not tell the password in `url`. */
export async function cli(args: string[], { env, url }: CliOptions = {}): Promise<CliResult> {
  const { code, stdout, stderr } = await runScript(
    { file: 'cli.js' },
    { args, env: { PG_BG_JOB_QUEUE_DATABASE: url, ...env }, stdin: '' },
  );
  if (url) {
    const { password } = new URL(url);
    if (password) expect(stdout + stderr).not.toContain(password);
  }
  return { code, stdout, stderr };
}

/** Runs the program in the expectation that it succeeds, and gives what it prints. */
export async function cliOutput(args: string[], options?: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await cli(args, options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

/** The names of the migrations, in order. */
export const migrations = readdirSync(migrationsFolder)
  .map((file) => parse(file).name)
  .sort();
