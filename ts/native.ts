import type * as Binding from './binding.js';
import { JobQueueError, type JobQueueErrorCode } from './errors.js';

export type { ConnectionSettings, NativeProcessor, NativeQueue } from './binding.js';

type Native = typeof Binding;

let loaded: Native | undefined;

/** The addon, loaded at the first use: who only imports types or a config helper never pays for it. */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

/**
 * Each `require` is literal, so that bundlers and file tracers see which files may be needed.
 * A build in the package's own folder, as in a checkout, comes before the installed one.
 */
const candidates: Record<string, (() => unknown)[]> = {
  'linux-x64-gnu': [
    () => require('./pg-bg-job-queue.linux-x64-gnu.node'),
    () => require('pg-bg-job-queue-linux-x64-gnu'),
  ],
  'linux-x64-musl': [
    () => require('./pg-bg-job-queue.linux-x64-musl.node'),
    () => require('pg-bg-job-queue-linux-x64-musl'),
  ],
  'linux-arm64-gnu': [
    () => require('./pg-bg-job-queue.linux-arm64-gnu.node'),
    () => require('pg-bg-job-queue-linux-arm64-gnu'),
  ],
  'linux-arm64-musl': [
    () => require('./pg-bg-job-queue.linux-arm64-musl.node'),
    () => require('pg-bg-job-queue-linux-arm64-musl'),
  ],
  'darwin-x64': [
    () => require('./pg-bg-job-queue.darwin-x64.node'),
    () => require('pg-bg-job-queue-darwin-x64'),
  ],
  'darwin-arm64': [
    () => require('./pg-bg-job-queue.darwin-arm64.node'),
    () => require('pg-bg-job-queue-darwin-arm64'),
  ],
  'win32-x64': [
    () => require('./pg-bg-job-queue.win32-x64-msvc.node'),
    () => require('pg-bg-job-queue-win32-x64-msvc'),
  ],
};

function load(): Native {
  const platform = platformName();
  const tried: string[] = [];
  for (const candidate of candidates[platform] ?? []) {
    try {
      return candidate() as Native;
    } catch (error) {
      tried.push(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
    }
  }
  const why = tried.length === 0 ? 'there is no binary for it' : `tried: ${tried.join('; ')}`;
  throw new Error(
    `pg-bg-job-queue cannot load its native addon for ${platform} (Node.js ${process.version}): ${why}. ` +
      'Reinstall with optional dependencies enabled, on the platform where the code will run; in a ' +
      'bundled app, mark pg-bg-job-queue as external.',
  );
}

/** `process.platform`, the architecture and, on Linux, the C library: `linux-x64-gnu`. */
function platformName(): string {
  const base = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' ? `${base}-${usesMusl() ? 'musl' : 'gnu'}` : base;
}

function usesMusl(): boolean {
  const report = process.report?.getReport() as
    | { header?: { glibcVersionRuntime?: string } }
    | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

/** An error as the addon describes it. */
export interface NativeError {
  code: JobQueueErrorCode;
  message: string;
  sqlState: string | null;
  cause: string | null;
}

export function toJobQueueError(error: NativeError, cause?: unknown): JobQueueError {
  return new JobQueueError(error.code, error.message, {
    sqlState: error.sqlState ?? undefined,
    cause: cause ?? (error.cause === null ? undefined : new Error(error.cause)),
  });
}

/**
 * Awaits a call into the addon. What it rejects with is made anew here: a native error belongs to the
 * main realm, where Jest's `instanceof` does not find it, and has no stack of the caller.
 */
export async function call<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw fromNative(error);
  }
}

/** As `call`, for what returns at once. */
export function callSync<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw fromNative(error);
  }
}

function fromNative(error: unknown): unknown {
  const message = (error as { message?: unknown } | null)?.message;
  if (typeof message !== 'string' || !message.startsWith('{')) return error;
  return toJobQueueError(JSON.parse(message) as NativeError);
}
