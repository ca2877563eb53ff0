import { join } from 'node:path';
import { expect, test } from 'vitest';
import { prismaFolder } from './helpers/prisma.js';
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

test("every library's own types are taken as a database client, and others are not", async () => {
  // Its types exist only when they were generated.
  await Promise.all([prismaFolder(6), prismaFolder(7)]);
  expect(await diagnostics(join(__dirname, 'types/clients/tsconfig.json'))).toBe('');
}, 120_000);
