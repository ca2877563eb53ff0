/**
 * Loads the addon for code that a bundler has taken out of the package's folder. The bundler could not take the addon
 * along: a `require` that it can follow either ends its build or leads to a copy that does not load. So there is no
 * such `require` here. The file is looked for when it is needed, and opened as `require` opens it.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { type PlatformPackage, platform, platformPackage } from './platform.js';
import { addonUnavailable, isDisabled } from './unavailable.js';

/** webpack's name for a `require` that it leaves alone. */
declare const __non_webpack_require__: NodeJS.Require | undefined;

/**
 * Shows the file to deploy to the tracer that Next.js runs over webpack's bundles: the tracer sees a file
 * that is read below the working directory, which to it is the app's folder, if it sees where `fs`
 * is from. The app may be one or two folders below the workspace's root, and pnpm may have installed it.
 */
function showToTracer(name: string): void {
  if (typeof __non_webpack_require__ !== 'function') return;
  const fs: typeof import('node:fs') = __non_webpack_require__('node:fs');
  fs.existsSync(
    `${process.cwd()}/node_modules/pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`,
  );
  fs.existsSync(
    `${process.cwd()}/../node_modules/pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`,
  );
  fs.existsSync(
    `${process.cwd()}/../../node_modules/pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`,
  );
  fs.existsSync(
    `${process.cwd()}/node_modules/.pnpm/node_modules/pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`,
  );
  fs.existsSync(
    `${process.cwd()}/../node_modules/.pnpm/node_modules/pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`,
  );
  fs.existsSync(
    `${process.cwd()}/../../node_modules/.pnpm/node_modules/pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`,
  );
}

/** Two registrations in one process would work; one is enough for all bundled copies. */
const key = Symbol.for('pg-bg-job-queue.addons');
const shared = globalThis as { [key]?: Map<string, unknown> };

/** Looks for the addon of release `version`: this face and another's addon do not fit together. */
export function openAddon(version: string): unknown {
  const name = platform();
  showToTracer(name);
  shared[key] ??= new Map();
  const addons = shared[key];
  const tried: string[] = [];
  let cause: unknown;
  for (const file of places(name)) {
    if (!existsSync(file)) continue;
    try {
      const real = realpathSync(file);
      refuseOther(version, real);
      if (!addons.has(real)) addons.set(real, open(real));
      return addons.get(real);
    } catch (error) {
      cause = error;
      if (isDisabled(error)) break;
      tried.push(`${file}: ${error instanceof Error ? error.message : error}`);
    }
  }
  if (tried.length === 0) {
    tried.push(`no ${platformPackage(name).file} in any node_modules above ${process.cwd()}`);
  }
  throw addonUnavailable({ platform: name, tried, bundled: true, cause });
}

function open(file: string): unknown {
  const module = { exports: {} };
  process.dlopen(module, file, constants.dlopen?.RTLD_LAZY);
  return module.exports;
}

/** The places where the file may be, the likely ones first. */
function* places(name: string): Generator<string> {
  // Turbopack reads the next line, with the package's folder for `__dirname`, and has the file deployed.
  // In an ES module there is none.
  if (typeof __dirname === 'string')
    yield join(__dirname, `../pg-bg-job-queue-${name}/pg-bg-job-queue.${name}.node`);
  const { name: folder, file } = platformPackage(name);
  for (let above = process.cwd(); ; above = dirname(above)) {
    const modules = join(above, 'node_modules');
    yield join(modules, folder, file);
    // Beside the package itself, where that is a link: pnpm's layout.
    const linked = join(modules, 'pg-bg-job-queue');
    if (existsSync(linked)) yield join(realpathSync(linked), '..', folder, file);
    yield* pnpmPlaces(join(modules, '.pnpm'), { name: folder, file });
    if (dirname(above) === above) return;
  }
}

/** The places where pnpm keeps packages that no package at the top asks for. */
function* pnpmPlaces(store: string, { name, file }: PlatformPackage): Generator<string> {
  if (!existsSync(store)) return;
  for (const entry of readdirSync(store)) {
    if (entry.startsWith(`${name}@`)) yield join(store, entry, 'node_modules', name, file);
  }
}

/** Refuses the addon of another version. A file without a package.json was deployed by itself, and is taken. */
function refuseOther(version: string, file: string): void {
  const manifest = join(dirname(file), 'package.json');
  if (!existsSync(manifest)) return;
  const found: { version: string } = JSON.parse(readFileSync(manifest, 'utf8'));
  if (found.version !== version) {
    throw new Error(`is version ${found.version}, and this is pg-bg-job-queue ${version}`);
  }
}
