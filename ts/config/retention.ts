/** For how long ended jobs are kept: `retention` of `initJobQueue`. */

import { days } from '../checks/checks.js';
import { setting } from '../checks/given.js';
import { options } from '../checks/options.js';
import type { Retention } from './types.js';

/** For how many days jobs of a status are kept; `false`: for ever. A status of which nothing is said is absent. */
export type ParsedRetention = { readonly [Status in keyof Retention]?: number | false };

const STATUSES = Object.keys({
  completed: true,
  failed: true,
  cancelled: true,
} satisfies Record<keyof Retention, true>) as (keyof Retention)[];

/** Checks `retention`; `null`: it says nothing. Throws `INVALID_CONFIG`. */
export function parseRetention(given: unknown): ParsedRetention | null {
  if (given === undefined || given === null) return null;
  const values = options(setting('retention', given), STATUSES);
  const said = STATUSES.filter((status) => values[status] !== undefined);
  const each = said.map((status) => {
    const value = values[status];
    return [status, value === false ? false : days(setting(`retention.${status}`, value))];
  });
  return Object.fromEntries(each) as ParsedRetention;
}
