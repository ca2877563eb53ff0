/** Turns a payload into the JSON text that Postgres stores, or into an error with the path of the fault. */

import { isStorable } from '../basics/text.js';
import { kindOf } from '../checks/kind.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { explainThrow } from './fault.js';
import { type FilledPlace, pathOf, places } from './path.js';
import { oversize } from './size.js';

/**
 * The payload's JSON text, exactly as `JSON.stringify` writes it, known to fit into a jsonb column.
 *
 * @param where the method to name in the message, as in `addJob: payload.items[3] holds \u0000, ...`
 * @throws JobQueueError `INVALID_PAYLOAD`, naming the path of the value that cannot be stored, never the value
 */
export function stringifyPayload(payload: unknown, where: string): string {
  const text = toJson(payload, where);
  // Both faults are escaped in JSON text, so that nearly every payload passes by this one scan.
  if (text.includes('\\u')) refuseUnstorable(text, where);
  const excess = oversize(text);
  if (excess !== null) refuse(where, `payload is too large: ${excess}`);
  return text;
}

function toJson(payload: unknown, where: string): string {
  const text = attempt(payload, where);
  if (text === undefined) {
    refuse(where, `payload must be a JSON value, got ${kindOf(payload)}, which has no JSON text`);
  }
  return text;
}

function attempt(payload: unknown, where: string): string | undefined {
  try {
    return JSON.stringify(payload);
  } catch (thrown) {
    refuse(where, explainThrow(payload, thrown));
  }
}

const SUSPECT = /\\u(?:0000|d[89a-f])/i;

/** Refuses text and keys that jsonb cannot hold. */
function refuseUnstorable(text: string, where: string): void {
  // A match is an escaped character, or the same letters after an escaped backslash, which are
  // harmless. The parsed value tells the two apart, and gives the path.
  if (!SUSPECT.test(text)) return;
  for (const place of places(JSON.parse(text))) refuseUnstorableAt(place, where);
}

function refuseUnstorableAt({ parent, key, value }: FilledPlace, where: string): void {
  if (parent !== null && typeof key === 'string' && !isStorable(key)) {
    refuse(where, `a key of ${pathOf(parent)} holds ${unstorable(key)}`);
  }
  if (typeof value === 'string' && !isStorable(value)) {
    refuse(where, `${pathOf({ parent, key })} holds ${unstorable(value)}`);
  }
}

function unstorable(text: string): string {
  const what = text.includes('\0') ? '\\u0000' : 'a lone surrogate';
  return `${what}, which Postgres cannot store in jsonb`;
}

function refuse(where: string, problem: string): never {
  throw new JobQueueError('INVALID_PAYLOAD', `${where}: ${problem}`);
}
