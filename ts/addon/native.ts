import type * as Binding from '../binding.js';
import { JobQueueError, type JobQueueErrorCode } from '../errors/job-queue-error.js';

export type { ConnectionSettings, NativeProcessor, NativeQueue } from '../binding.js';

type Native = typeof Binding;

let load!: () => Native;
let loaded: Native | undefined;

/**
 * Says how this copy of the package reaches its addon: `addon/require.ts` where Node.js loads the
 * package from its folder, `addon/open.ts` where a bundler has taken it out of there.
 */
export function loadAddonWith(loader: () => unknown): void {
  load = loader as () => Native;
}

/** The addon, loaded at the first use: who only imports types or a config helper never pays for it. */
export function native(): Native {
  loaded ??= load();
  return loaded;
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

/** Awaits an answer of the addon in a way of its own. */
export type Ask = <T>(answer: Promise<T>) => Promise<T>;

/** As `call`, for what returns at once. */
export function callSync<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw fromNative(error);
  }
}

/** Makes a `JobQueueError` of what the addon rejects with, and leaves all else as it is. */
export function fromNative(error: unknown): unknown {
  const message = (error as { message?: unknown } | null)?.message;
  if (typeof message !== 'string' || !message.startsWith('{')) return error;
  return toJobQueueError(JSON.parse(message) as NativeError);
}
