/** A wait that ends in time. */

import { clearTimeout, setTimeout } from './timers.js';

/** `within` resolves to this when the time is up. */
export const TIME_IS_UP: unique symbol = Symbol('time is up');

/** Waits for a promise, for `ms` milliseconds at the most. If it settles later, nothing more happens. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | typeof TIME_IS_UP> {
  let timer: NodeJS.Timeout | undefined;
  const timeIsUp = new Promise<typeof TIME_IS_UP>((resolve) => {
    timer = setTimeout(resolve, ms, TIME_IS_UP);
  });
  try {
    return await Promise.race([promise, timeIsUp]);
  } finally {
    clearTimeout(timer);
  }
}
