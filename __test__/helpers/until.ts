import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface UntilOptions {
  /** Default 10 seconds. */
  timeoutMs?: number;
  /** What is waited for, for the message of the timeout: `timed out waiting until ${what}`. */
  what?: string;
}

/**
 * Waits until `check` gives something truthy, and resolves to that. For states that no signal
 * announces, as those of the database; what a test can hear of, it should await.
 * An error from `check` ends the waiting.
 */
export async function until<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 10_000, what = String(check) }: UntilOptions = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const state = await check();
    if (state) return state;
    if (performance.now() > deadline) {
      throw new Error(`timed out waiting until ${what}, last seen: ${inspect(state)}`);
    }
    await delay(10);
  }
}

export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A promise to be settled from elsewhere: how a handler tells its test how far it is. */
export function deferred<T = void>(): Deferred<T> {
  let settle!: Omit<Deferred<T>, 'promise'>;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle };
}
