/** Whether a payload fits into a jsonb value of Postgres, and out of it again. */

import { constants } from 'node:buffer';
import { places } from './path.js';

/**
 * A JSON text of at most this many UTF-16 units needs no measuring. The least text per member is `0,`
 * (at most 4M members, 12 bytes of jsonb each), and what grows most on its way back is `1e308,`, which
 * Postgres writes with all its zeros, 52 times as long (at most 436M characters).
 */
const ALWAYS_FITS = 8 * 2 ** 20;

/** `JENTRY_OFFLENMASK`: the most bytes in one string, array or object of a jsonb value. */
const MAX_JSONB_BYTES = 0x0fffffff;

/** While it parses, Postgres doubles an array of 72 bytes per pair, and allocates less than 1 GiB. */
const MAX_MEMBERS = 2 ** 23;

/** The longest text that JavaScript can be handed back; Postgres itself writes up to 1 GiB. */
const MAX_TEXT_BYTES = constants.MAX_STRING_LENGTH;

/** Numeric header, six digits to base 10,000, and padding: the most that a number of JavaScript takes. */
const NUMBER_BYTES = 24;

/** `-2.2250738585072014e-308` without its exponent. */
const NUMBER_CHARACTERS = 330;

/** Says which limit the JSON text of a payload passes, or gives `null` if Postgres can store it. */
export function oversize(text: string): string | null {
  if (text.length <= ALWAYS_FITS) return null;
  let jsonbBytes = 0;
  // Postgres writes a space after each comma and colon, and numbers without an exponent.
  let readBytes = Buffer.byteLength(text);
  for (const { key, value } of places(JSON.parse(text))) {
    const members = memberCount(value);
    if (members > MAX_MEMBERS) return `an array or object may have at most ${MAX_MEMBERS} members`;
    jsonbBytes += entryBytes(key) + valueBytes(value);
    readBytes += 2 * members + (hasExponent(value) ? NUMBER_CHARACTERS : 0);
  }
  if (jsonbBytes > MAX_JSONB_BYTES) return `jsonb holds at most ${MAX_JSONB_BYTES} bytes`;
  if (readBytes > MAX_TEXT_BYTES) return `Postgres would write it as ${readBytes} bytes of text`;
  return null;
}

/** A member's entry in its container, and its key's. */
function entryBytes(key: string | number): number {
  return typeof key === 'number' ? 4 : 8 + Buffer.byteLength(key);
}

function valueBytes(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'number') return NUMBER_BYTES;
  return typeof value === 'object' && value !== null ? 4 + 3 : 0;
}

function memberCount(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Array.isArray(value) ? value.length : Object.keys(value).length;
}

function hasExponent(value: unknown): boolean {
  return typeof value === 'number' && String(value).includes('e');
}
