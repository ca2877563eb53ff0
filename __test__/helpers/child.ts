/** Node scripts in processes of their own, for what only a process can show: its end, a crash. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { inject } from 'vitest';
import { secretsOf } from './secrets.js';

const root = join(__dirname, '../..');

/**
 * The source of a script, or the path of one from the root of the repository. In a source,
 * 'pg-bg-job-queue' is the package under test, and its development dependencies are at hand.
 */
export type Script = string | { file: string };

export interface ScriptOptions {
  /** How to read a source: as an ES module, the default, or as CommonJS. */
  format?: 'esm' | 'cjs';
  /** Over this process's variables; `undefined` takes one away. */
  env?: NodeJS.ProcessEnv;
  /** Of Node, as `--expose-gc`. */
  execArgv?: string[];
  args?: string[];
  /** Default: the root of the repository. */
  cwd?: string;
  /** All that the script can read. Without it the stream stays open, for `stdin.write`. */
  stdin?: string;
  /** Default 20 seconds; then the script is killed, and what waits for it rejects. */
  timeoutMs?: number;
}

export interface ScriptResult {
  /** `null` if a signal ended the script. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  durationMs: number;
}

/**
 * Runs a script to its end, whichever that is; only one that outlasts its time, or prints a secret of
 * the run, is an error.
 */
export function runScript(script: Script, options?: ScriptOptions): Promise<ScriptResult> {
  return spawnScript(script, options).exited;
}

export interface RunningScript extends AsyncDisposable {
  pid: number;
  stdin: Writable;
  /** What it has printed so far. */
  readonly stdout: string;
  readonly stderr: string;
  /**
   * The match of the first line, already printed or still to come, on either stream. Rejects if the
   * script ends without one.
   */
  waitForLine(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal?: NodeJS.Signals): void;
  exited: Promise<ScriptResult>;
}

/** Starts a script; `await using script = spawnScript(...)` kills it when the test is over. */
export function spawnScript(script: Script, options: ScriptOptions = {}): RunningScript {
  const { execArgv = [], args = [], cwd = root, stdin, timeoutMs = 20_000 } = options;
  const isSource = typeof script === 'string';
  const file = isSource ? writeScript(script, options.format) : resolve(root, script.file);
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...execArgv, file, ...args], {
    cwd,
    env: { ...process.env, ...options.env },
  });
  // The script may end before it has read everything.
  child.stdin.on('error', () => {});
  if (stdin !== undefined) child.stdin.end(stdin);

  const printed = { stdout: '', stderr: '' };
  const secrets = secretsOf(inject('serverUrl'));
  const lines: string[] = [];
  const watchers: ((line: string) => void)[] = [];
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text) => {
      printed[stream] += text;
    });
    createInterface(child[stream]).on('line', (line) => {
      lines.push(line);
      for (const watch of watchers) watch(line);
    });
  }
  const failure = (what: string) =>
    new Error(`the script ${what}\n--- stdout\n${printed.stdout}\n--- stderr\n${printed.stderr}`);

  const exited = new Promise<ScriptResult>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(failure(`did not end within ${timeoutMs} ms`));
      child.kill('SIGKILL');
    }, timeoutMs);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (secrets.some((secret) => (printed.stdout + printed.stderr).includes(secret))) {
        reject(new Error('the script printed a secret'));
      }
      resolve({ code, signal, ...printed, durationMs: performance.now() - startedAt });
    });
  }).finally(() => {
    if (isSource) rmSync(file);
  });
  // Not every test waits for the end.
  exited.catch(() => {});

  return {
    pid: child.pid as number,
    stdin: child.stdin,
    exited,
    get stdout() {
      return printed.stdout;
    },
    get stderr() {
      return printed.stderr;
    },
    waitForLine: (pattern) =>
      new Promise((resolve, reject) => {
        const watch = (line: string) => {
          const match = pattern.exec(line);
          if (match) resolve(match);
        };
        lines.forEach(watch);
        watchers.push(watch);
        exited.then(() => reject(failure(`ended without a line that matches ${pattern}`)), reject);
      }),
    kill(signal) {
      child.kill(signal);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited.catch(() => {});
    },
  };
}

/**
 * Where Cargo lets tests keep their files. A script there belongs to this package: it may import it
 * by its name, which from inside `node_modules` or from outside the repository it could not.
 */
const temporaryFolder = join(root, 'target/tmp');

function writeScript(source: string, format: ScriptOptions['format'] = 'esm'): string {
  const file = join(temporaryFolder, `${randomUUID()}.${format === 'esm' ? 'mjs' : 'cjs'}`);
  mkdirSync(temporaryFolder, { recursive: true });
  writeFileSync(file, source);
  return file;
}
