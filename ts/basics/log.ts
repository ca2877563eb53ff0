/** Writes a line of the log: ids, types, counts and durations, never a payload or a secret. */
export type Log = (line: string) => void;

/** Gives `undefined` unless the user wants a log: `log?.(...)` then does not even make the line. */
export function openLog(verbose: boolean): Log | undefined {
  if (!verbose) return undefined;
  // The console is looked up at each line, so that one that is replaced later is used.
  return (line) => console.log(`[pg-bg-job-queue] ${line}`);
}
