/** The numbers of a retry policy, as jobs and processors give them. */

import { INT4_MAX, integer, number } from './checks.js';
import type { Given } from './given.js';

/** The growth of a delay with each attempt. */
const MAX_FACTOR = 1_000;

/** Checks a delay, in milliseconds. */
export function delay(given: Given): number {
  return integer(given, 0, INT4_MAX);
}

/** Checks by how much a delay grows. */
export function factor(given: Given): number {
  return number(given, 1, MAX_FACTOR);
}

/** Checks the part of a delay that is left to chance. */
export function jitter(given: Given): number {
  return number(given, 0, 1);
}
