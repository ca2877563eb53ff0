/** The options of a job: how each is checked, and how it stands in the job's JSON text. */

import { INT4_MAX, INT4_MIN, integer, name, time } from '../checks/checks.js';
import { type Given, numberOrKind, refuseValue } from '../checks/given.js';
import { placesOf } from '../checks/options.js';
import { delay, factor } from '../checks/retry.js';
import { stringifyPayload } from '../payload/stringify.js';
import type { JobOptionsOf } from './types.js';

/** An option of a job. */
interface Option {
  /** Its value if it is absent or `undefined`; `'none'`: it is left out. */
  otherwise: number | null | undefined | 'none';
  /** Checks a value, and gives its JSON text. */
  toJson(given: Given): string;
}

type OptionName = keyof JobOptionsOf<{ type: unknown }, 'type'>;

/**
 * The options of a job, in the order in which they are checked. The payload comes last: its `toJSON` is called once all
 * else is right.
 */
const OPTIONS: Record<OptionName, Option> = {
  job_type: { otherwise: undefined, toJson: (given) => JSON.stringify(name(given)) },
  max_attempts: { otherwise: 3, toJson: (given) => String(integer(given, 1, INT4_MAX)) },
  priority: { otherwise: 0, toJson: (given) => String(integer(given, INT4_MIN, INT4_MAX)) },
  run_at: { otherwise: null, toJson: orNull((given) => String(time(given))) },
  timeout_ms: {
    otherwise: null,
    toJson: orNull((given) => String(integer(given, 1, INT4_MAX))),
  },
  retry_delay_ms: { otherwise: 'none', toJson: orNull((given) => String(delay(given))) },
  retry_factor: { otherwise: 'none', toJson: orNull((given) => String(factor(given))) },
  retry_max_delay_ms: { otherwise: 'none', toJson: orNull((given) => String(delay(given))) },
  dead_letter_job_type: {
    otherwise: 'none',
    toJson: orNull((given) => JSON.stringify(name(given))),
  },
  idempotency_key: { otherwise: 'none', toJson: orNull((given) => JSON.stringify(name(given))) },
  idempotency_hold: { otherwise: 'none', toJson: orNull((given) => JSON.stringify(hold(given))) },
  payload: { otherwise: undefined, toJson: ({ value, method }) => stringifyPayload(value, method) },
};

export const NAMES = Object.keys(OPTIONS) as OptionName[];
export const PLACES = placesOf(NAMES);

/** An option as it stands in the JSON. */
export interface Entry extends Pick<Option, 'toJson'> {
  option: OptionName;
  /** What stands before its value. */
  key: string;
  /** Its whole text if it is absent; `null` if it must not be. */
  absent: string | null;
}

export const ENTRIES: readonly Entry[] = NAMES.map((option, at) => {
  const { otherwise, toJson } = OPTIONS[option];
  const key = `${at === 0 ? '{' : ','}"${option}":`;
  const absent = otherwise === 'none' ? '' : `${key}${otherwise}`;
  return { option, key, toJson, absent: otherwise === undefined ? null : absent };
});

const HOLDS: readonly unknown[] = ['queued', 'unsettled', 'row'];

/** A hundred years, in milliseconds. */
export const MAX_WINDOW = 3_155_760_000_000;

/** Checks how long a key is held, and gives the text that the column has. */
function hold(given: Given): string {
  const { value } = given;
  if (HOLDS.includes(value)) return String(value);
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_WINDOW) {
    return String(value);
  }
  const rule = `${HOLDS.map((word) => `'${word}'`).join(', ')}, or 1 to ${MAX_WINDOW} milliseconds`;
  refuseValue(given, rule, numberOrKind(value));
}

function orNull(toJson: Option['toJson']): Option['toJson'] {
  return (given) => (given.value === null ? 'null' : toJson(given));
}
