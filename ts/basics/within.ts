import { clearTimeout, setTimeout } from './timers.js';

/** What `within` resolves to when the time is up. */
export const TIME_IS_UP: unique symbol = Symbol('time is up');

/** Waits for a promise, for so many milliseconds at the most. What it comes to later is not heard. */
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
