/** The native addon: how it is reached, and how its errors become this package's own. */

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

/** The addon, loaded at the first use: importing types or a config helper does not load it. */
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
 * Awaits a call into the addon. Its error is made anew here: a native error belongs to the main realm, where Jest's
 * `instanceof` does not find it, and its stack does not lead to the caller.
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

/** The same for a call that returns at once. */
export function callSync<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw fromNative(error);
  }
}

/** Makes a `JobQueueError` of an error of the addon, and leaves other errors as they are. */
export function fromNative(error: unknown): unknown {
  const message = (error as { message?: unknown } | null)?.message;
  if (typeof message !== 'string' || !message.startsWith('{')) return error;
  return toJobQueueError(JSON.parse(message) as NativeError);
}
