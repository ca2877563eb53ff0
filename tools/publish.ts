/**
 * Publishes what `tools/pack.ts --all` has made: `node --import tsx tools/publish.ts v2.0.0`.
 *
 * The platform packages go first, so that nobody installs a package whose binaries are still to come.
 * What npm has already is left out: after a failure, run it again.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { everyPlatform } from './pack.js';

const root = join(__dirname, '..');
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function isPublished(spec: string): boolean {
  try {
    return execFileSync('npm', ['view', spec, 'version'], { encoding: 'utf8' }).trim() !== '';
  } catch (error) {
    // A package, or a version, that does not exist yet. Anything else is for a person to see.
    if (String((error as { stderr?: unknown }).stderr).includes('E404')) return false;
    throw error;
  }
}

const [tag] = process.argv.slice(2);
if (tag !== `v${version}`) throw new Error(`the tag is ${tag}, and package.json says ${version}`);

const distTag = version.includes('-') ? 'next' : 'latest';
for (const each of [...everyPlatform().map((platform) => `${name}-${platform}`), name]) {
  if (isPublished(`${each}@${version}`)) {
    console.log(`${each}@${version} is published already`);
    continue;
  }
  const tarball = join(root, 'target/packages', `${each}-${version}.tgz`);
  const options = ['--access', 'public', '--provenance', '--tag', distTag];
  execFileSync('npm', ['publish', tarball, ...options], { stdio: 'inherit' });
}
