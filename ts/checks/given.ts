/**
 * A value as the user gave it, and the error that a fault in it leads to. Arguments and settings go through the same
 * checks, and are refused in the same words. This file has the differences: the code, the method, and whether a message
 * may show the value.
 */

import { JobQueueError } from '../errors/job-queue-error.js';
import { kindOf } from './kind.js';

/** A value, its name in messages, and the error that it leads to if it is refused. */
export interface Given {
  readonly value: unknown;
  /** For example `priority`, `databaseConfig.port`. */
  readonly name: string;
  readonly code: 'INVALID_ARGUMENT' | 'INVALID_CONFIG';
  /** The method that messages begin with; `''` for a setting, since `resolveConfig` adds the method. */
  readonly method: string;
  /** Messages tell the kind of the value and never show it. */
  readonly secret: boolean;
}

/** An argument of a method, or an option of one. */
export function argument(method: string, name: string, value: unknown): Given {
  return { value, name, code: 'INVALID_ARGUMENT', method, secret: false };
}

/** A setting of the configuration. Any may be a secret: people put passwords in the wrong place. */
export function setting(name: string, value: unknown): Given {
  return { value, name, code: 'INVALID_CONFIG', method: '', secret: true };
}

/** Throws `INVALID_ARGUMENT` with a message that begins with the method. */
export function refuseArgument(method: string, problem: string): never {
  throw new JobQueueError('INVALID_ARGUMENT', `${method}: ${problem}`);
}

/** Throws `INVALID_CONFIG`. */
export function refuseConfig(problem: string): never {
  throw new JobQueueError('INVALID_CONFIG', problem);
}

/** Throws the error that the value leads to. */
export function refuse({ code, method }: Given, problem: string): never {
  throw new JobQueueError(code, method === '' ? problem : `${method}: ${problem}`);
}

/** Throws the same, saying what the value must be and what was given instead. */
export function refuseValue(given: Given, rule: string, got = shown(given)): never {
  refuse(given, `${given.name} must be ${rule}, got ${got}`);
}

function shown({ value, secret }: Given): string {
  return secret ? kindOf(value) : numberOrKind(value);
}

/** Numbers are short enough to be shown. */
export function numberOrKind(value: unknown): string {
  return typeof value === 'number' ? String(value) : kindOf(value);
}
