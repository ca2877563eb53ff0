/** What a caller's client threw, in the words that the queue's own connections use. */

import { type NativeError, type NativeQueue, toJobQueueError } from '../addon/native.js';
import { describeError } from '../errors/describe-error.js';
import { JobQueueError } from '../errors/job-queue-error.js';

/**
 * What a cause keeps of an error besides its name and message. Libraries note on it what was sent,
 * each under a name of its own (`parameters`, `params`, `bindings`), and Postgres quotes rows in
 * `detail`: that holds payloads.
 */
const HARMLESS = [
  'code',
  'severity',
  'schema',
  'table',
  'column',
  'constraint',
  'routine',
  'errno',
  'syscall',
  'address',
  'port',
];

/** So many causes are looked through; a chain may be endless. */
const MAX_CAUSES = 10;

/** Makes an error of what a client threw at a statement of this queue; it holds nothing of what was sent. */
export function describeClientError(thrown: unknown, queue: NativeQueue): JobQueueError {
  const errors = chain(thrown);
  const refusal = errors.find(hasSqlState);
  if (refusal !== undefined) {
    const { code, message } = refusal;
    const error = JSON.parse(queue.describeRefusal(code, String(message))) as NativeError;
    // An error about the data, about a constraint, or of a trigger, may hold the data.
    return toJobQueueError(error, /^(?:2[23]|P0)/.test(code) ? undefined : withoutData(refusal));
  }
  const text = describeError(thrown).message;
  // Few libraries have codes of their own; what they say of connections has the word in it.
  const connecting = errors.some(hasNetworkCode) || /connect/i.test(text);
  return new JobQueueError(
    connecting ? 'CONNECTION_FAILED' : 'DATABASE_ERROR',
    `the database client that was passed in failed: ${text}`,
    { cause: withoutData(thrown) },
  );
}

interface Coded {
  code: string;
  message?: unknown;
  syscall?: unknown;
}

/** An error and its causes, as far as they are objects. */
function chain(thrown: unknown): Partial<Coded>[] {
  const errors: Partial<Coded>[] = [];
  let error = thrown;
  while (typeof error === 'object' && error !== null && errors.length < MAX_CAUSES) {
    errors.push(error);
    error = (error as { cause?: unknown }).cause;
  }
  return errors;
}

function hasSqlState(error: Partial<Coded>): error is Coded {
  const { code, syscall } = error;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && syscall === undefined;
}

function hasNetworkCode({ code }: Partial<Coded>): boolean {
  return typeof code === 'string' && /^E[A-Z_]+$/.test(code);
}

/** A copy of an error that keeps what tells its origin, and cannot hold what was sent. */
function withoutData(thrown: unknown): unknown {
  if (typeof thrown !== 'object' || thrown === null) return thrown;
  const { message, name = 'Error' } = describeError(thrown);
  const copy = new Error(message);
  // A stack would lead here, and the original's, which repeats its message, into the library.
  Object.defineProperty(copy, 'stack', { value: `${name}: ${message}` });
  Object.defineProperty(copy, 'name', { value: name });
  for (const key of HARMLESS) {
    const value = (thrown as Record<string, unknown>)[key];
    if (value !== undefined) Object.assign(copy, { [key]: value });
  }
  return copy;
}
