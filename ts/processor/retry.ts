/** Retry policies: their checks, and what a run says of its next attempt. */

import { types } from 'node:util';
import { callable } from '../checks/checks.js';
import { argument } from '../checks/given.js';
import { options } from '../checks/options.js';
import { delay, factor, jitter } from '../checks/retry.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';
import { causedByUser } from './report.js';
import { type NamedTime, namedTime, timeNamedBy } from './retry-errors.js';
import type { RetryPolicy } from './types.js';

/** The numbers of a policy, as they cross: see `src/store/retry_policy.rs`. */
type Numbers = { [Field in Exclude<keyof RetryPolicy, 'decide'>]?: number };

type Decide = (error: unknown, job: JobContext) => unknown;

/** A policy, checked. */
export interface ParsedRetry {
  numbers: Numbers;
  decide: Decide | undefined;
}

const CHECKS = { delay, factor, maxDelay: delay, jitter } satisfies Record<keyof Numbers, unknown>;
const FIELDS = Object.keys({
  delay: true,
  factor: true,
  maxDelay: true,
  jitter: true,
  decide: true,
} satisfies Record<keyof RetryPolicy, true>);

/** The policy that says nothing. */
const NONE: ParsedRetry = { numbers: {}, decide: undefined };

/** Checks a retry policy, whose name in messages is `name`. */
export function parseRetry(method: string, name: string, given: unknown): ParsedRetry {
  if (given === undefined) return NONE;
  const policy = options(argument(method, name, given), FIELDS);
  const numbers: Numbers = {};
  for (const [field, check] of Object.entries(CHECKS)) {
    const value = policy[field];
    if (value === undefined) continue;
    numbers[field as keyof Numbers] = check(argument(method, `${name}.${field}`, value));
  }
  const { decide } = policy;
  return {
    numbers,
    decide: decide === undefined ? undefined : callable(argument(method, `${name}.decide`, decide)),
  };
}

/** The policy of a job type: its own fields, and those of the processor that it lacks. */
export function policyOf(own: ParsedRetry, processors: ParsedRetry): ParsedRetry {
  if (processors === NONE) return own;
  return {
    numbers: { ...processors.numbers, ...own.numbers },
    decide: own.decide ?? processors.decide,
  };
}

/** The numbers of a policy as JSON text; `null` if it has none. */
export function numbersOf({ numbers }: ParsedRetry): string | null {
  return Object.keys(numbers).length === 0 ? null : JSON.stringify(numbers);
}

/** What a run says of its next attempt after its handler threw; `undefined` says nothing. */
export function nextAttempt(
  { numbers, decide }: ParsedRetry,
  thrown: unknown,
  job: JobContext,
  report: (error: JobQueueError) => void,
): NamedTime | Numbers | undefined {
  const time = timeNamedBy(thrown) ?? decided(decide, thrown, job, report);
  return time ?? (Object.keys(numbers).length === 0 ? undefined : numbers);
}

function decided(
  decide: Decide | undefined,
  thrown: unknown,
  job: JobContext,
  report: (error: JobQueueError) => void,
): NamedTime | undefined {
  if (decide === undefined) return undefined;
  try {
    const decision = decide(thrown, job);
    if (decision === undefined) return undefined;
    const time = decision === 'fail' ? ({ never: true } as const) : asked(decision);
    if (time !== undefined) return time;
    // A promise that rejects, and that nobody awaits, would end the process.
    if (types.isPromise(decision)) decision.catch(() => {});
  } catch (error) {
    report(causedByUser('INVALID_ARGUMENT', `retry.decide threw for job ${job.id}`, error));
    return undefined;
  }
  report(
    new JobQueueError(
      'INVALID_ARGUMENT',
      `retry.decide gave for job ${job.id} neither milliseconds, a valid Date, 'fail' nor undefined: ` +
        'the delay of the policy holds. It must not be async',
    ),
  );
  return undefined;
}

/** A time in the past is now, in milliseconds too. */
function asked(decision: unknown): NamedTime | undefined {
  return namedTime(typeof decision === 'number' ? Math.max(decision, 0) : decision);
}
