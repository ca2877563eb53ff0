/** `lazy.ts` for the entry that is an ES module, in which there is no `require`. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The modules of Node.js are the same from everywhere. */
const ofNode = createRequire(process.execPath);

export const crypto = (): typeof import('node:crypto') => ofNode('node:crypto');

export const tls = (): typeof import('node:tls') => ofNode('node:tls');

/** node-postgres, from the `node_modules` above the working directory: there the addon is looked for too. */
export function pg(): typeof import('pg') | { missing: unknown } {
  try {
    return createRequire(join(process.cwd(), 'index.js'))('pg');
  } catch (missing) {
    return { missing };
  }
}
