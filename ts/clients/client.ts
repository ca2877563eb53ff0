import { JobQueueError } from '../errors/job-queue-error.js';

/** What the queue needs of a database client of the caller's, whichever library it is of. */
export interface Client {
  /**
   * Sends a statement, exactly once; resolves to its rows. What libraries return here is often lazy
   * and sends again at each `then`: it is for one `await`.
   */
  send(text: string, values: Value[]): PromiseLike<unknown>;
  /**
   * It is known to be no transaction: each statement runs, and is committed, on whichever connection is free.
   */
  isPool?: boolean;
  /** The error beneath what `send` rejected with, for libraries that wrap it, or add to its message. */
  beneath?(thrown: unknown): unknown;
}

/** Statements take text alone, which every client sends alike. */
export type Value = string | null;

/**
 * Whether all of these are methods of `value`, and not of every object. Proxies may answer to names that nobody gave.
 */
export function hasMethods(value: object, ...names: string[]): boolean {
  return names.every((name) => {
    const method: unknown = Reflect.get(value, name);
    return typeof method === 'function' && method !== Reflect.get(Object.prototype, name);
  });
}

/**
 * The texts of an answer's one column. Its rows are in `rows`, or are the answer itself; the column
 * goes by whatever name the client's settings gave it, and may be the bytes of the text.
 */
export function texts(answer: unknown): string[] {
  const rows = Array.isArray(answer) ? answer : (answer as { rows?: unknown } | null)?.rows;
  if (!Array.isArray(rows)) notUnderstood('resolved to something else than { rows }');
  return rows.map((row) => {
    const [text] = Object.values(row ?? {});
    if (typeof text === 'string') return text;
    if (text instanceof Uint8Array) return Buffer.from(text).toString();
    return notUnderstood('made something else of a column of text');
  });
}

function notUnderstood(what: string): never {
  throw new JobQueueError(
    'DATABASE_ERROR',
    `the database client that was passed in ${what}; what was asked may have been done`,
  );
}
