/**
 * Makes the packages as they go to npm, in `target/packages/`: `pg-bg-job-queue` without any binary, and
 * the package of each platform that is asked for.
 *
 *     node --import tsx tools/pack.ts           this machine's platform
 *     node --import tsx tools/pack.ts --all     every platform, or none if a binary is missing
 *
 * The published package.json is made here too. Its optional dependencies are the platform packages, at exactly this
 * version: in the checkout's own they would break `npm ci` until they are published.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { platform } from '../ts/addon/platform.js';
import { publishedReadme } from './published-readme.js';

const run = promisify(execFile);
const root = join(__dirname, '..');
type Manifest = Record<string, unknown> & { name: string; version: string; files: string[] };

export interface PackedPackages {
  /** The tarball of `pg-bg-job-queue`. */
  main: string;
  /** Those of its platform packages. */
  platforms: string[];
}

/** Packs what was built last, for `platforms`, into a folder that is emptied first. */
export async function packPackages(
  platforms: string[],
  destination: string,
): Promise<PackedPackages> {
  rmSync(destination, { recursive: true, force: true });
  const { devDependencies, overrides, scripts, napi, ...published } = manifestOf(root);
  const { version } = published;
  const packed = await Promise.all(
    platforms.map((name) => {
      const folder = join(root, 'npm', name);
      const files = [
        ['README.md', folder],
        ['LICENSE', root],
        [`pg-bg-job-queue.${name}.node`, root],
      ] as const;
      return pack({ ...manifestOf(folder), version }, files, destination);
    }),
  );
  const names = everyPlatform().map((name) => `pg-bg-job-queue-${name}`);
  const main = await pack(
    {
      ...published,
      optionalDependencies: Object.fromEntries(names.map((name) => [name, version])),
    },
    ['README.md', 'LICENSE', ...published.files].map((file) => [file, root] as const),
    destination,
    (stage) => {
      const readme = readFileSync(join(root, 'README.md'), 'utf8');
      writeFileSync(join(stage, 'README.md'), publishedReadme(readme, published));
    },
  );
  return { main, platforms: packed };
}

export const everyPlatform = (): string[] => readdirSync(join(root, 'npm'));

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

async function pack(
  manifest: Manifest,
  files: readonly (readonly [name: string, from: string])[],
  destination: string,
  finish = (_stage: string) => {},
): Promise<string> {
  const stage = join(destination, manifest.name);
  mkdirSync(stage, { recursive: true });
  for (const [name, from] of files)
    cpSync(join(from, name), join(stage, name), { recursive: true });
  finish(stage);
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const options = ['--ignore-scripts', '--pack-destination', destination];
  await run('npm', ['pack', ...options, stage], { shell: process.platform === 'win32' });
  return join(destination, `${manifest.name}-${manifest.version}.tgz`);
}

if (require.main === module) {
  const platforms = process.argv.includes('--all') ? everyPlatform() : [platform()];
  packPackages(platforms, join(root, 'target', 'packages')).then(({ main, platforms }) => {
    for (const tarball of [...platforms, main]) console.log(tarball);
  });
}
