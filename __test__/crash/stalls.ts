/** When a process was not given the processor, as on a machine that has too much to do. */

export interface Stall {
  /** In milliseconds since the Unix epoch. */
  at: number;
  until: number;
}

const EVERY = 50;
/** The longest stall that a lease of the crash test bears. */
const BORNE = 200;

/** Tells of the times in which this process stood still, if they were long; keeps no process running. */
export function watchForStalls(tell: (stall: Stall) => void): NodeJS.Timeout {
  let last = performance.now();
  return setInterval(() => {
    const now = performance.now();
    const late = now - last - EVERY;
    if (late > BORNE) tell({ at: Date.now() - late, until: Date.now() });
    last = now;
  }, EVERY).unref();
}
