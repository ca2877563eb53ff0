/** `lazy.ts` for the entry that is an ES module, where there is no `require`, in whatever format it is bundled. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The modules of Node.js are the same from everywhere. */
const ofNode = createRequire(process.execPath);

export const crypto = (): typeof import('node:crypto') => ofNode('node:crypto');

export const tls = (): typeof import('node:tls') => ofNode('node:tls');

/** Looked for where the addon is: in the `node_modules` above the working directory. */
export function pg(): typeof import('pg') | { missing: unknown } {
  try {
    return createRequire(join(process.cwd(), 'index.js'))('pg');
  } catch (missing) {
    return { missing };
  }
}
