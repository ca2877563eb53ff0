import { describe } from 'vitest';
import { findProgram, type Program } from './programs.js';

/** As `describe`, for tests that use a program; `body` gets its path. */
export function describeWith(program: Program, name: string, body: (path: string) => void): void {
  const path = findProgram(program);
  describe.skipIf(path === undefined)(name, () => body(path ?? program));
}
