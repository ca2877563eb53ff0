/** Says what happens: ids, types, counts and durations. Never a payload, nor anything secret. */
export type Log = (line: string) => void;

export function openLog(verbose: boolean): Log {
  // The console is looked up at each line, so that one that is replaced later is used.
  return verbose ? (line) => console.log(`[pg-bg-job-queue] ${line}`) : () => {};
}
