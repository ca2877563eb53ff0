/**
 * The timers of Node.js as they were when this module was loaded. Tests replace them by fake ones, in the global
 * scope or in `node:timers` itself, and those stand still until the test moves them. A named import would be looked
 * up there at each use.
 */
import timers from 'node:timers';

export const { clearTimeout, setImmediate, setTimeout } = timers;
export const { nextTick } = process;

/** Milliseconds since the Unix epoch. */
export const sinceEpoch: () => number = Date.now;

/** Milliseconds by a clock that never goes back. */
export const now: () => number = performance.now.bind(performance);
