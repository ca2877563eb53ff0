import { join } from 'node:path';
import { expect, test } from 'vitest';
import { diagnostics } from './helpers/types.js';

test.each([
  ["Node's module resolution", 'tsconfig.nodenext.json'],
  ["a bundler's module resolution", 'tsconfig.bundler.json'],
])(
  'code written for the original compiles, mistakes do not, and types are inferred, with %s',
  async (_, project) => {
    expect(await diagnostics(join(__dirname, 'types', project))).toBe('');
  },
  120_000,
);
