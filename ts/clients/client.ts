/** A database client of the caller's, as the queue uses it. */

import { JobQueueError } from '../errors/job-queue-error.js';

/** The same for the clients of all libraries. */
export interface Client {
  /**
   * Sends a statement, exactly once, and resolves to its rows. The object that libraries return is often lazy, and
   * sends again at each `then`: await it only once.
   */
  send(text: string, values: Value[]): PromiseLike<unknown>;
  /**
   * The client is known to be no transaction: each statement runs and is committed by itself, on any free connection.
   */
  isPool?: boolean;
  /** Gives the error inside the one that `send` rejected with, for libraries that wrap it or add to its message. */
  beneath?(thrown: unknown): unknown;
}

/** Statements take text alone, which every client sends in the same way. */
export type Value = string | null;

/**
 * Whether all of these are methods of `value`, and not of every object. A proxy may have an answer for any name.
 */
export function hasMethods(value: object, ...names: string[]): boolean {
  return names.every((name) => {
    const method: unknown = Reflect.get(value, name);
    return typeof method === 'function' && method !== Reflect.get(Object.prototype, name);
  });
}

/**
 * The texts of an answer's one column. Its rows are in `rows`, or are the answer itself. The client's settings may have
 * renamed the column, and its values may be the bytes of the text.
 */
export function texts(answer: unknown): string[] {
  const rows = Array.isArray(answer) ? answer : (answer as { rows?: unknown } | null)?.rows;
  if (!Array.isArray(rows)) notUnderstood('did not resolve to { rows }');
  return rows.map((row) => {
    const [text] = Object.values(row ?? {});
    if (typeof text === 'string') return text;
    if (text instanceof Uint8Array) return Buffer.from(text).toString();
    return notUnderstood('did not give the text of a text column');
  });
}

function notUnderstood(what: string): never {
  throw new JobQueueError(
    'DATABASE_ERROR',
    `the database client that was passed in ${what}: the statement may have run`,
  );
}
