/** Ctrl-C and its like: what runs is told to stop, so that everything is cleaned up on the one way out. */

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Interruption {
  readonly #controller = new AbortController();
  /** What ended the demo, unless it was a fault of its own. */
  by: NodeJS.Signals | undefined;

  constructor() {
    // A terminal and npm may both pass the same Ctrl-C on: it is heard as often as it comes.
    for (const name of signals) process.on(name, () => this.#stop(name));
    // Whoever read the output has gone: `npm run demo | head`.
    process.stdout.on('error', () => this.#stop('SIGPIPE'));
    process.on('uncaughtException', (error) => this.#controller.abort(error));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  #stop(name: NodeJS.Signals): void {
    if (this.signal.aborted) return;
    this.by = name;
    this.#controller.abort(new Error(`stopped by ${name}`));
  }
}

/** Ends this process as the signal would have ended it, which is what shells and npm look at. */
export function die(signal: NodeJS.Signals): void {
  // Node.js itself ignores SIGPIPE.
  process.exitCode = 1;
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** `promise`, or a rejection as soon as `signal` aborts; what is then left behind may end as it likes. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {});
  signal.throwIfAborted();
  let abort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
