import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { prismaFolder } from './helpers/prisma.js';
import { snippets, writeSnippets } from './helpers/snippets.js';
import { diagnostics } from './helpers/types.js';

const ROOT = join(__dirname, '..');

const SETTINGS = {
  include: ['.'],
  compilerOptions: {
    target: 'es2022',
    lib: ['dom', 'esnext'],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
    paths: { '@/*': ['./*'], 'pg-bg-job-queue': [join(ROOT, 'index.d.ts')] },
  },
};

test.each([
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'esnext', moduleResolution: 'bundler' },
])(
  'the snippets of the documents compile as they stand: $moduleResolution',
  async (resolution) => {
    await prismaFolder(7);
    const app = writeSnippets('readme');
    const { compilerOptions } = SETTINGS;
    const settings = { ...SETTINGS, compilerOptions: { ...compilerOptions, ...resolution } };
    writeFileSync(join(app, 'tsconfig.json'), JSON.stringify(settings));

    expect(snippets().length).toBeGreaterThan(16);
    expect(await diagnostics(app)).toBe('');
  },
  120_000,
);
