/** Paths inside a payload, which never hold its values. */

import { clip } from '../basics/text.js';

/** A member of an array or object, linked to its container; the payload itself has no parent. */
export interface Place {
  readonly parent: Place | null;
  readonly key: string | number;
}

/** A place together with its value in a parsed JSON text. */
export interface FilledPlace extends Place {
  readonly value: unknown;
}

/** The place of the payload itself. Its key is the one that `JSON.stringify` hands to `toJSON`. */
export const ROOT: Place = { parent: null, key: '' };

/** Not a literal: V8 would look Unicode's categories up while reading this file, which takes half a millisecond. */
const IDENTIFIER = String.raw`^[\p{ID_Start}$_][\p{ID_Continue}$]*$`;
const LONGEST_KEY = 40;
const SHOWN_AT_THE_START = 4;
const SHOWN_AT_THE_END = 8;

/** `payload.items[3]["first name"]`, with the middle of a very long path left out. */
export function pathOf(place: Place): string {
  const segments: string[] = [];
  for (let step = place; step.parent !== null; step = step.parent) segments.push(segment(step.key));
  segments.reverse();
  const leftOut = segments.length - SHOWN_AT_THE_START - SHOWN_AT_THE_END;
  if (leftOut > 0) segments.splice(SHOWN_AT_THE_START, leftOut, '[…]');
  return `payload${segments.join('')}`;
}

function segment(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  const shown = clip(key, LONGEST_KEY);
  // JSON.stringify also escapes characters that a log could not show: control characters, lone surrogates.
  return new RegExp(IDENTIFIER, 'u').test(shown) ? `.${shown}` : `[${JSON.stringify(shown)}]`;
}

/**
 * Every value in a parsed JSON text, the outermost included, in the order of the text.
 * No recursion: newer versions of V8 parse and write deeper nesting than the stack could follow.
 */
export function* places(root: unknown): Generator<FilledPlace, void> {
  const open: Iterator<FilledPlace>[] = [[{ ...ROOT, value: root }].values()];
  for (let inner = open.at(-1); inner !== undefined; inner = open.at(-1)) {
    const next = inner.next();
    if (next.done) {
      open.pop();
    } else {
      yield next.value;
      open.push(members(next.value));
    }
  }
}

/** Made one by one: an array may have millions. */
function* members(parent: FilledPlace): Generator<FilledPlace, void> {
  const { value } = parent;
  if (typeof value !== 'object' || value === null) return;
  for (const key of keysOf(value)) yield { parent, key, value: Reflect.get(value, key) };
}

/** The keys that `JSON.stringify` visits, in its order. */
export function keysOf(container: object): Iterable<string | number> {
  return Array.isArray(container) ? container.keys() : Object.keys(container);
}
