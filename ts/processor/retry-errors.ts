/** The errors by which a handler says when its job is tried again. */

import { isDate, timeOf } from '../checks/kind.js';
import { brandedBy } from '../errors/brand.js';
import { property } from '../errors/describe-error.js';
import { JobQueueError } from '../errors/job-queue-error.js';

const retryAfter = Symbol.for('pg-bg-job-queue.RetryAfter');
const unrecoverable = Symbol.for('pg-bg-job-queue.Unrecoverable');

/** When a failed job is tried again, as it crosses: see `src/store/retry_policy.rs`. */
export type NamedTime = { after: number } | { at: number } | { never: true };

/**
 * Thrown by a handler: the attempt has failed, and the job is tried again at this time, whatever its retry policy says.
 * A time in the past is now. Without attempts left, the job has failed for good.
 *
 * `instanceof` works across copies of this package.
 */
export class RetryAfter extends Error {
  override readonly name: string = 'RetryAfter';

  /**
   * @param when milliseconds from now, 0 to 8,640,000,000,000,000, or a `Date`. Throws `INVALID_ARGUMENT` for another
   * value.
   */
  constructor(when: number | Date, message?: string, options?: ErrorOptions) {
    const time = namedTime(when);
    if (time === undefined) {
      throw new JobQueueError(
        'INVALID_ARGUMENT',
        'RetryAfter: when must be a number of milliseconds of at least 0, or a valid Date',
      );
    }
    super(message ?? told(time), options);
    Object.defineProperty(this, retryAfter, { value: time });
  }
}

brandedBy(retryAfter, RetryAfter);

/**
 * Thrown by a handler: the job has failed for good, even if attempts are left.
 *
 * `instanceof` works across copies of this package.
 */
export class Unrecoverable extends Error {
  override readonly name: string = 'Unrecoverable';

  constructor(message?: string, options?: ErrorOptions) {
    super(message, options);
    Object.defineProperty(this, unrecoverable, { value: true });
  }
}

brandedBy(unrecoverable, Unrecoverable);

/** The furthest that a `Date` reaches (ECMA-262, "Time Values and Time Range"). */
const MAX_TIME = 8.64e15;

/** The time that milliseconds from now, or a `Date`, name; `undefined` for another value. */
export function namedTime(when: unknown): NamedTime | undefined {
  if (typeof when === 'number' && when >= 0 && when <= MAX_TIME) return { after: when };
  if (isDate(when) && !Number.isNaN(timeOf(when))) return { at: Math.max(timeOf(when), 0) };
  return undefined;
}

/** The time that a thrown value names. Never throws, however hostile the value. */
export function timeNamedBy(thrown: unknown): NamedTime | undefined {
  if (property(thrown, unrecoverable) === true) return { never: true };
  const time = property(thrown, retryAfter);
  // The error may be another version's.
  const after = property(time, 'after');
  const at = property(time, 'at');
  if (typeof after === 'number') return namedTime(after);
  return typeof at === 'number' ? namedTime(new Date(at)) : undefined;
}

function told(time: NamedTime): string {
  if ('after' in time) return `To be tried again after ${time.after} ms`;
  return `To be tried again at ${'at' in time ? new Date(time.at).toISOString() : 'no time'}`;
}
