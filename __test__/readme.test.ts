import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { diagnostics } from './helpers/types.js';

const ROOT = join(__dirname, '..');
const APP = join(ROOT, 'target', 'tmp', 'readme');

/** What a reader of the README has already, and the snippets take for granted. */
const READERS_OWN: Record<string, string> = {
  'lib/services/generate-report.ts':
    'export const generateReport = async (reportId: string, userId: string) => { void [reportId, userId]; };',
};

/** What stands around a snippet that is no file of its own. */
const AROUND = (snippet: string) => `
  import type { JobQueue } from 'pg-bg-job-queue';
  import type { JobPayloadMap } from '@/lib/queue';
  declare const jobId: number;
  export async function fragment(queue: JobQueue<JobPayloadMap>) {
    void [queue, jobId];
    ${snippet}
  }
`;

/** The TypeScript of the README: files by their path, fragments by their place. */
function snippets(): [path: string, source: string][] {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const blocks = readme.matchAll(/^```ts(?: file=(\S+))?\n([\s\S]*?)^```$/gm);
  return [...blocks].map(([, file, source = ''], at) =>
    file === undefined ? [`fragments/${at}.ts`, AROUND(source)] : [file, source],
  );
}

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
  'the snippets of the README compile as they stand: $moduleResolution',
  async (resolution) => {
    rmSync(APP, { recursive: true, force: true });
    for (const [path, source] of [...snippets(), ...Object.entries(READERS_OWN)]) {
      mkdirSync(dirname(join(APP, path)), { recursive: true });
      writeFileSync(join(APP, path), source);
    }
    const { compilerOptions } = SETTINGS;
    const settings = { ...SETTINGS, compilerOptions: { ...compilerOptions, ...resolution } };
    writeFileSync(join(APP, 'tsconfig.json'), JSON.stringify(settings));

    expect(snippets().length).toBeGreaterThan(10);
    expect(await diagnostics(APP)).toBe('');
  },
  120_000,
);
