/** What the figures were measured on, and with. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, totalmem, type } from 'node:os';
import { dirname, join } from 'node:path';
import { peers } from './peers/index.js';

export interface Machine {
  date: string;
  cpu: string;
  cores: number;
  memoryGB: number;
  system: string;
  node: string;
  postgres: string;
  build: 'release' | 'debug';
  /** The versions of the packages. */
  packages: Record<string, string>;
}

export async function describeMachine(postgres: string): Promise<Machine> {
  const packages: Record<string, string> = {};
  for (const { package: name } of peers) packages[name] ??= await versionOf(name);
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${process.arch}`,
    node: process.version,
    postgres,
    build: (await isDebugBuild()) ? 'debug' : 'release',
    packages,
  };
}

async function versionOf(name: string): Promise<string> {
  const manifest = join(import.meta.dirname, 'node_modules', name, 'package.json');
  return (JSON.parse(await readFile(manifest, 'utf8')) as { version: string }).version;
}

const debugBuildsExceed = 20_000_000;

/** The addon with its debug information is several times larger. */
export async function isDebugBuild(): Promise<boolean> {
  const root = dirname(createRequire(import.meta.url).resolve('pg-bg-job-queue/package.json'));
  const addons = (await readdir(root)).filter((name) => name.endsWith('.node'));
  const sizes = await Promise.all(addons.map(async (name) => (await stat(join(root, name))).size));
  return sizes.some((size) => size > debugBuildsExceed);
}
