import { readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { platform, platformPackage } from '../../ts/addon/platform.js';
import { useApp } from '../helpers/packages.js';

const here = platform();
const { name, file } = platformPackage(here);

/** Calls what needs the addon, and prints what it throws. */
const attempt = `
  initJobQueue({ databaseConfig: { host: 'localhost' } }).then(
    (queue) => queue.close().then(() => console.log('loaded')),
    (error) => console.log(JSON.stringify([error.name, error.code, error.message])),
  );`;

/** A process that takes itself for another platform's, its loader named in Node.js's own file or not. */
const disguised = (platform: string, arch: string, libc?: { loader?: string; glibc?: string }) => `
  Object.defineProperty(process, 'platform', { value: '${platform}' });
  Object.defineProperty(process, 'arch', { value: '${arch}' });
  const fs = require('node:fs');
  const { openSync } = fs;
  const node = __dirname + '/node';
  fs.writeFileSync(node, ${JSON.stringify(`\x7fELF${'\0'.repeat(600)}${libc?.loader ?? ''}\0`)});
  fs.openSync = (file, ...options) => openSync(file === process.execPath ? node : file, ...options);
  process.report.getReport = () => ({ header: { glibcVersionRuntime: ${JSON.stringify(libc?.glibc)} } });`;

const app = useApp({
  files: {
    'app.cjs': `const { initJobQueue } = require('pg-bg-job-queue');${attempt}`,
    'bundled/app.cjs': `const { initJobQueue } = require('../bundled.cjs');${attempt}`,
    'musl.cjs': disguised('linux', 'x64'),
    'alpine.cjs': disguised('linux', 'x64', {
      loader: '/lib/ld-musl-x86_64.so.1',
      glibc: '2.38',
    }),
    'windows.cjs': disguised('win32', 'x64'),
    'riscv.cjs': disguised('linux', 'riscv64', { glibc: '2.38' }),
  },
});

async function failure(...args: string[]): Promise<string> {
  const [name, code, message] = JSON.parse(await app.run('node', args));
  expect([name, code]).toEqual(['JobQueueError', 'ADDON_UNAVAILABLE']);
  return message;
}

/** The option had another name while it was an experiment. */
const permission = () =>
  process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';

const modules = () => join(app.folder, 'node_modules');
const installed = () => join(modules(), name);
const aside = () => join(app.folder, 'aside');

test('the addon of this platform is found', async () => {
  expect(await app.run('node', ['app.cjs'])).toBe('loaded\n');
});

test('the package has no install script and no runtime dependency', async () => {
  const script = "console.log(JSON.stringify(require('pg-bg-job-queue/package.json')))";
  const manifest = JSON.parse(await app.run('node', ['-e', script]));
  expect(manifest).not.toHaveProperty('scripts');
  expect(manifest).not.toHaveProperty('dependencies');
  expect(manifest.optionalDependencies).toHaveProperty(name, manifest.version);
});

test.each([
  ['musl', 'linux-x64-musl', '--os=linux --cpu=x64 --libc=musl'],
  ['alpine', 'linux-x64-musl', '--os=linux --cpu=x64 --libc=musl'],
  ['windows', 'win32-x64-msvc', '--os=win32 --cpu=x64'],
])(
  'where it was installed on another platform, the error says so: %s',
  async (disguise, runsOn, flags) => {
    const message = await failure('-r', `./${disguise}.cjs`, 'app.cjs');
    expect(message).toContain(
      `cannot load its native addon (${runsOn}, Node.js ${process.versions.node})`,
    );
    expect(message).toContain(`Cannot find module 'pg-bg-job-queue-${runsOn}'`);
    expect(message).toContain(`npm install ${flags}`);
    expect(message).toContain('lock file was made on another platform');
  },
);

test('where there is no binary for the platform, the error says for which there are', async () => {
  const message = await failure('-r', './riscv.cjs', 'app.cjs');
  expect(message).toContain('(linux-riscv64-gnu,');
  expect(message).toMatch(
    /no binary for this platform; there are for Linux \(x64, arm64; glibc 2\.28/,
  );
});

describe.each([
  ['installed', 'app.cjs'],
  ['bundled', 'bundled/app.cjs'],
])('where Node.js loads no addons, the error says which option does that: %s', (_, file) => {
  beforeEach(() =>
    cp(join(modules(), 'pg-bg-job-queue/bundled.js'), join(app.folder, 'bundled.cjs')),
  );

  test('--no-addons', async () => {
    const message = await failure('--no-addons', file);
    expect(message).toMatch(
      /Node\.js was started with --no-addons: start it without\..* NODE_OPTIONS/,
    );
    expect(message).not.toContain('npm install');
  });

  test('the permission model', async () => {
    const flags = ['--no-warnings', permission(), '--allow-fs-read=*'];
    const message = await failure(...flags, file);
    expect(message).toContain(
      'permission model is on, and allows no addons: start Node.js with --allow-addons',
    );
    expect(message).not.toContain('npm install');
    expect(await app.run('node', [...flags, '--allow-addons', file])).toBe('loaded\n');
  });
});

describe('of a platform package', () => {
  beforeEach(() => cp(installed(), aside(), { recursive: true }));
  afterEach(async () => {
    await rm(installed(), { recursive: true, force: true });
    await rename(aside(), installed());
  });

  test('that is missing, the error says to install optional dependencies', async () => {
    await rm(installed(), { recursive: true });
    const message = await failure('app.cjs');
    expect(message).toContain(`Cannot find module '${name}'`);
    expect(message).toContain('npm install --include=optional');
    expect(message).toContain('copy that package along');
  });

  test('that does not load, the error has the reason of the operating system', async () => {
    await writeFile(join(installed(), file), 'no library');
    expect(await failure('app.cjs')).toMatch(/Tried:\n(.*\n)*.*(file too short|invalid|not a)/);
  });
});

describe('in a bundle', () => {
  beforeEach(async () => {
    await cp(join(modules(), 'pg-bg-job-queue/bundled.js'), join(app.folder, 'bundled.cjs'));
  });

  test('the addon is found in the node_modules above the working directory', async () => {
    await mkdir(join(app.folder, 'apps/web'), { recursive: true });
    const output = await app.run('node', ['../../bundled/app.cjs'], { cwd: 'apps/web' });
    expect(output).toBe('loaded\n');
  });

  test('the addon of another version is refused', async () => {
    const manifest = join(installed(), 'package.json');
    await cp(manifest, aside());
    await writeFile(manifest, JSON.stringify({ name, version: '1.2.3' }));
    const message = await failure('bundled/app.cjs').finally(() => rename(aside(), manifest));
    expect(message).toContain('is version 1.2.3, and this is pg-bg-job-queue 2.0.0');
  });

  test('where it is not found, the error says how Next.js and others have to be configured', async () => {
    await rename(modules(), aside());
    const message = await failure('bundled/app.cjs').finally(() => rename(aside(), modules()));
    expect(message).toContain(`no ${file} in any node_modules above ${app.folder}`);
    expect(message).toContain('withJobQueue from pg-bg-job-queue/next');
    expect(message).toContain('mark pg-bg-job-queue as external');
  });
});

test('every entry of the package has the same exports', async () => {
  const script = `
    const names = (file) => Object.keys(require('./node_modules/pg-bg-job-queue/' + file)).sort();
    const imported = async (file) => Object.keys(await import('./node_modules/pg-bg-job-queue/' + file))
      .filter((name) => name !== 'default').sort();
    Promise.all([...['index', 'bundled', 'unsupported'].map(names), ...['index.mjs', 'bundled.mjs'].map(imported)])
      .then((all) => console.log(JSON.stringify(all)));`;
  const [first, ...others] = JSON.parse(await app.run('node', ['-e', script]));
  expect(first).toContain('initJobQueue');
  for (const names of others) expect(names).toEqual(first);
});

test('an error of one copy of the package is an instance of the class of another', async () => {
  await cp(join(modules(), 'pg-bg-job-queue/bundled.js'), join(app.folder, 'bundled.cjs'));
  const script = `
    const [one, other] = [require('pg-bg-job-queue'), require('./bundled.cjs')].map((p) => p.JobQueueError);
    class Own extends one {}
    const error = new other('CLOSED', '');
    console.log(one === other, error instanceof one, error instanceof Own, new Own('CLOSED', '') instanceof other,
      new Own('CLOSED', '') instanceof Own, new Error() instanceof one, null instanceof one);`;
  expect(await app.run('node', ['-e', script])).toBe('false true false true true false false\n');
});

test('what the errors say is what the README explains', async () => {
  const readme = readFileSync(join(__dirname, '../../README.md'), 'utf8');
  const script = `require('./node_modules/pg-bg-job-queue/unsupported.js').initJobQueue()
    .catch((error) => console.log(error.message));`;
  const unsupported = /pg-bg-job-queue needs the Node.js runtime/;
  expect(await app.run('node', ['-e', script])).toMatch(unsupported);
  expect(readme).toMatch(unsupported);
  const unavailable = 'pg-bg-job-queue cannot load its native addon';
  expect(await failure('-r', './riscv.cjs', 'app.cjs')).toContain(unavailable);
  expect(readme).toContain(unavailable);
});
