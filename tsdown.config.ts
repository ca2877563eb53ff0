import { resolve } from 'node:path';
import { defineConfig, type UserConfig } from 'tsdown';

/** Everything is in one file, which Node loads faster than many. */
const common: UserConfig = {
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  outDir: '.',
  clean: false,
  fixedExtension: false,
  // Platform binaries and node-postgres are found at run time, or not at all.
  deps: { neverBundle: [/\.node$/, /^pg-bg-job-queue/, 'pg'] },
  outputOptions: { exports: 'named' },
};

export default defineConfig([
  {
    ...common,
    entry: { index: 'ts/index.ts' },
    dts: true,
    // It comes to stand before the import of pg, whose types an app need not have.
    banner: { dts: '// @ts-ignore: without the types of pg, what getPool() gives is any' },
  },
  ...['bundled', 'unsupported', 'cli'].map((name) => ({
    ...common,
    entry: { [name]: `ts/${name}.ts` },
    dts: false,
  })),
  { ...common, entry: { index: 'ts/index.mts' }, format: 'esm', dts: false },
  {
    ...common,
    entry: { bundled: 'ts/bundled.ts' },
    format: 'esm',
    outExtensions: () => ({ js: '.mjs' }),
    // There is no `require` in an ES module.
    alias: { [resolve('ts/basics/lazy.ts')]: resolve('ts/basics/lazy-esm.ts') },
    dts: false,
  },
  { ...common, entry: { next: 'ts/next.ts' }, dts: true },
]);
