/** Says what happens: ids, types, counts and durations. Never a payload, nor anything secret. */
export type Log = (line: string) => void;

/** Nothing, if nothing is to be said: `log?.(...)` then does not even make the line. */
export function openLog(verbose: boolean): Log | undefined {
  if (!verbose) return undefined;
  // The console is looked up at each line, so that one that is replaced later is used.
  return (line) => console.log(`[pg-bg-job-queue] ${line}`);
}
