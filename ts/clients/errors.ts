/** Describes an error of a caller's client in the words that the queue's own connections use. */

import { type NativeError, type NativeQueue, toJobQueueError } from '../addon/native.js';
import { describeError } from '../errors/describe-error.js';
import { JobQueueError } from '../errors/job-queue-error.js';

/**
 * The properties of an error that a cause keeps besides its name and message. Others may hold payloads: libraries
 * note the values that were sent, each under a name of its own (`parameters`, `params`, `bindings`), and Postgres
 * quotes rows in `detail`.
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

/** At most this many causes are looked at, since a chain of causes may have no end. */
const MAX_CAUSES = 10;

/** Makes an error of one that a client threw at a statement of this queue. It holds no value that was sent. */
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
  // Few libraries have codes of their own. Their messages about connections have the word in them.
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

/** A copy of an error that tells its origin, and cannot hold a value that was sent. */
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
