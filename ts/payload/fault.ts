/** Finds out why `JSON.stringify` threw: its own message has no path, and may hold user data. */

import { types } from 'node:util';
import { describeError } from '../errors/describe-error.js';
import { keysOf, type Place, pathOf, ROOT } from './path.js';

/** Says why a payload cannot become JSON, given the error that `JSON.stringify` threw. */
export function explainThrow(payload: unknown, thrown: unknown): string {
  if (isStackOverflow(thrown)) return 'payload is nested too deeply';
  if (isStringOverflow(thrown)) return 'payload is too large: its JSON text does not fit a string';
  return new Retrace().explain(payload) ?? `payload does not convert to JSON: ${className(thrown)}`;
}

/**
 * Takes the steps of `JSON.stringify` once more, keeping an eye on the path. The payload's own code
 * (getters, `toJSON`, proxies) runs a second time, and may behave this time: then nothing is found.
 */
class Retrace {
  private at: Place = ROOT;
  private readonly containers = new Set<object>();

  explain(payload: unknown): string | null {
    try {
      return this.visit({ '': payload }, ROOT);
    } catch (thrown) {
      if (isStackOverflow(thrown)) return null;
      return `${pathOf(this.at)} throws when it is converted to JSON: ${className(thrown)}`;
    }
  }

  private visit(holder: object, place: Place): string | null {
    this.at = place;
    const value = converted(Reflect.get(holder, place.key), String(place.key));
    if (typeof value === 'bigint' || types.isBigIntObject(value)) {
      return `${pathOf(place)} is a BigInt, which JSON cannot carry`;
    }
    if (typeof value !== 'object' || value === null) return null;
    if (this.containers.has(value))
      return `${pathOf(place)} is a cycle: an object that contains it`;
    return this.visitMembers(value, place);
  }

  private visitMembers(container: object, parent: Place): string | null {
    this.containers.add(container);
    for (const key of keysOf(container)) {
      const fault = this.visit(container, { parent, key });
      if (fault !== null) return fault;
    }
    this.containers.delete(container);
    return null;
  }
}

/** The value as `JSON.stringify` takes it: the result of its `toJSON`, if it has one. */
function converted(value: unknown, key: string): unknown {
  if (!mayHaveToJson(value)) return value;
  const { toJSON } = value;
  return typeof toJSON === 'function' ? Reflect.apply(toJSON, value, [key]) : value;
}

/** The types whose `toJSON` is looked up; the others are written as they are, patched or not. */
function mayHaveToJson(value: unknown): value is { toJSON?: unknown } {
  return (
    (typeof value === 'object' && value !== null) ||
    typeof value === 'function' ||
    typeof value === 'bigint'
  );
}

/** The class of the error. Its message is not shown: `toJSON` of user code may quote the value there. */
function className(thrown: unknown): string {
  return describeError(thrown).name ?? `a thrown ${typeof thrown}`;
}

// V8 tells its two range errors apart, and from those of user code, by their messages only.
function isStackOverflow(thrown: unknown): boolean {
  return thrown instanceof RangeError && thrown.message === 'Maximum call stack size exceeded';
}

function isStringOverflow(thrown: unknown): boolean {
  return thrown instanceof RangeError && thrown.message === 'Invalid string length';
}
