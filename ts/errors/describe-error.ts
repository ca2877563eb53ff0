/** Describes the value that a handler threw, which may be of any kind. Nothing here may throw. */

import { types } from 'node:util';
import { clip, inLine, wellFormed } from '../basics/text.js';

/** The parts of a thrown value that `error_history` keeps. They are bounded, and Postgres can store them. */
export interface DescribedError {
  /** The error's own message; `String(thrown)` where it is no `Error`. */
  message: string;
  /** The error's class. */
  name?: string;
  /** The stack, and below it the errors that an `AggregateError` holds and the chain of causes. */
  stack?: string;
}

const MAX_MESSAGE = 10_000;
const MAX_STACK = 10_000;
const MAX_NAME = 255;
const MAX_BRIEF = 500;
/** How many errors of an `AggregateError`, and how many causes, are told. */
const MAX_RELATED = 10;

/** Describes the value that a handler threw. Never throws, however hostile the value. */
export function describeError(thrown: unknown): DescribedError {
  if (!isError(thrown)) return { message: storable(textOf(thrown), MAX_MESSAGE) };
  const name = storable(nameOf(thrown), MAX_NAME);
  const described: DescribedError = { message: storable(messageOf(thrown), MAX_MESSAGE), name };
  const stack = fullStack(thrown);
  if (stack !== '') described.stack = storable(stack, MAX_STACK);
  return described;
}

/** The same as text for a console: the stack, below the message where it does not repeat that. */
export function printable(thrown: unknown): string {
  const { message, name, stack = '' } = describeError(thrown);
  if (name === undefined) return message;
  return stack.includes(message) ? stack : `${name}: ${message}\n${stack}`.trimEnd();
}

/** The same in one line. */
export function inOneLine(thrown: unknown): string {
  const { message, name } = describeError(thrown);
  const text = name === undefined ? message : `${name}: ${message}`;
  return clip(inLine(text.replace(/\s+/g, ' ')), MAX_BRIEF);
}

/** Errors of any realm: Jest and `vm` have an `Error` of their own, which `instanceof` denies. */
function isError(value: unknown): value is object {
  return types.isNativeError(value) || attempt(() => value instanceof Error) === true;
}

/** `error.message`. If that is empty, the class and the errors inside say more. */
function messageOf(error: object): string {
  const message = property(error, 'message');
  if (typeof message === 'string' && message !== '') return message;
  if (message !== '' && message !== undefined) return textOf(message);
  // Node rejects a failed connection with an AggregateError whose own message is empty.
  const inner = innerErrors(error).map(brief);
  return inner.length === 0 ? nameOf(error) : `${nameOf(error)}: ${inner.join('; ')}`;
}

/** A subclass that does not set `name` inherits `Error`; its constructor's name says more. */
function nameOf(error: object): string {
  const name = property(error, 'name');
  if (typeof name === 'string' && name !== '' && name !== 'Error') return name;
  const className = property(property(error, 'constructor'), 'name');
  return typeof className === 'string' && className !== '' ? className : 'Error';
}

/** The error's stack, followed by the errors that it contains and those that caused it. */
function fullStack(error: object): string {
  const inner = innerErrors(error).map((each) => `Contains: ${brief(each)}`);
  const causes = causesOf(error).map((cause) => `Caused by: ${ownStack(cause) || brief(cause)}`);
  return [ownStack(error), ...inner, ...causes].filter((part) => part !== '').join('\n');
}

function ownStack(thrown: unknown): string {
  const stack = isError(thrown) ? property(thrown, 'stack') : undefined;
  return typeof stack === 'string' ? stack : '';
}

/** The chain of `cause`s, as far as it goes without repeating itself. */
function causesOf(error: object): unknown[] {
  const causes: unknown[] = [];
  let cause = property(error, 'cause');
  while (cause !== undefined && cause !== null && cause !== error && !causes.includes(cause)) {
    if (causes.push(cause) === MAX_RELATED) break;
    cause = property(cause, 'cause');
  }
  return causes;
}

/** The errors that an `AggregateError` holds. Other classes keep other things in `errors`, user data among them. */
function innerErrors(error: object): unknown[] {
  const errors = property(error, 'errors');
  const length = property(errors, 'length');
  if (typeof length !== 'number') return [];
  return Array.from({ length: Math.min(length, MAX_RELATED) }, (_, at) =>
    property(errors, at),
  ).filter((inner) => isError(inner) || typeof inner === 'string');
}

/** One line about a related error: its class and its message. */
function brief(thrown: unknown): string {
  if (!isError(thrown)) return clip(textOf(thrown), MAX_BRIEF);
  const message = property(thrown, 'message');
  const name = nameOf(thrown);
  return clip(
    typeof message === 'string' && message !== '' ? `${name}: ${message}` : name,
    MAX_BRIEF,
  );
}

/** `String(value)`. For an object that refuses even that, the kind of object. */
function textOf(value: unknown): string {
  return (
    attempt(() => String(value)) ??
    attempt(() => Object.prototype.toString.call(value)) ??
    `a thrown ${typeof value} that cannot be described`
  );
}

/** A property of any value, or `undefined` if reading it throws. */
export function property(value: unknown, key: string | number | symbol): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null)
    return undefined;
  return attempt(() => Reflect.get(value, key));
}

/** The result of the function, or `undefined` if it throws: any touch of a foreign object may throw. */
function attempt<T>(touch: () => T): T | undefined {
  try {
    return touch();
  } catch {
    return undefined;
  }
}

function storable(text: string, max: number): string {
  return wellFormed(clip(text, max));
}
