/**
 * The timers of Node.js as they were when this module was loaded. What tests replace by fake ones, in the global
 * scope or in `node:timers` itself, stands still until the test moves it; a named import would be looked up there
 * at each use.
 */
import timers from 'node:timers';

export const { clearTimeout, setImmediate, setTimeout } = timers;
export const { nextTick } = process;

/** Milliseconds by a clock that never goes back. */
export const now: () => number = performance.now.bind(performance);
