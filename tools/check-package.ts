/**
 * Checks the packages as they go to npm: `npm run check:package`, for this platform, and that the README's quick
 * start leads to an app that works. With tarballs as arguments, it checks those alone, and of the Linux ones also
 * that they run with an old C library.
 */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { platform } from '../ts/addon/platform.js';
import { glibcFloor, isNewer } from './glibc-floor.js';
import { packPackages } from './pack.js';

const onWindows = process.platform === 'win32';
const root = join(__dirname, '..');
const tools = join(root, 'target', 'tools');
const linters = ['@arethetypeswrong/cli@0.18.5', 'publint@0.3.25'];

/** `npm test` leaves it to this script. */
const QUICK_START = '__test__/package/quick-start.test.ts';

/** What Node.js 20 itself asks for, and every Linux that serverless platforms run. */
const MAX_GLIBC = '2.28';
const MAX_BINARY_BYTES = 4 * 1024 * 1024;

async function run(program: string, args: string[]): Promise<string> {
  const options = { cwd: root, shell: onWindows, maxBuffer: 1e8 };
  const { stdout } = await promisify(execFile)(program, args, options).catch((error) => {
    throw new Error(`${program} ${args.join(' ')}\n${error.stdout}\n${error.stderr}`);
  });
  return stdout;
}

/** They would bring many packages into the lock file, to be used by this script alone. */
async function linter(name: string, entry: string): Promise<string> {
  const file = join(tools, 'node_modules', name, entry);
  if (!existsSync(file)) {
    mkdirSync(tools, { recursive: true });
    const quietly = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run('npm', ['install', '--prefix', tools, ...quietly, ...linters]);
  }
  return file;
}

/** What is wrong with the package itself, as its reader's tools see it. */
async function lint(tarball: string): Promise<void> {
  const attw = await linter('@arethetypeswrong/cli', 'dist/index.js');
  await run(process.execPath, [attw, tarball]);
  const publint = await linter('publint', 'src/cli.js');
  await run(process.execPath, [publint, 'run', tarball, '--strict']);
}

function checkMain(folder: string): void {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  for (const field of ['dependencies', 'scripts']) {
    if (manifest[field]) throw new Error(`the published package.json has ${field}`);
  }
  const binaries = readdirSync(folder).filter((file) => file.endsWith('.node'));
  if (binaries.length > 0) throw new Error(`the package holds ${binaries}`);
  for (const file of manifest.files) {
    if (!existsSync(join(folder, file))) throw new Error(`the package lacks ${file}`);
  }
}

function checkPlatform(folder: string, forRelease: boolean): void {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const binary = join(folder, manifest.main);
  const { size } = statSync(binary);
  if (size > MAX_BINARY_BYTES) throw new Error(`${manifest.main} has ${size} bytes, over 4 MB`);
  const floor = manifest.libc?.includes('glibc') ? glibcFloor(readFileSync(binary)) : undefined;
  console.log(`${manifest.main}: ${size} bytes${floor ? `, glibc ${floor} or later` : ''}`);
  if (forRelease && floor && isNewer(floor, MAX_GLIBC)) {
    throw new Error(`${manifest.main} needs glibc ${floor}; it has to run with ${MAX_GLIBC}`);
  }
}

async function check(tarball: string, forRelease: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'check-package-'));
  try {
    await run('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1']);
    const isMain = existsSync(join(folder, 'index.js'));
    if (isMain) checkMain(folder);
    else checkPlatform(folder, forRelease);
    if (isMain) await lint(tarball);
    console.log(`${basename(tarball)}: ${statSync(tarball).size} bytes packed, in order`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function main(given: string[]): Promise<void> {
  const packed = async () => {
    const { main, platforms } = await packPackages([platform()], join(root, 'target', 'packages'));
    return [...platforms, main];
  };
  const tarballs = given.length > 0 ? given : await packed();
  for (const tarball of tarballs) await check(tarball, given.length > 0);
  if (given.length === 0) {
    await run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', QUICK_START]);
    console.log('README.md: its quick start builds and runs in a fresh Next.js app');
  }
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
