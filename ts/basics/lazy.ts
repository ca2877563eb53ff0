/**
 * What takes long to load, or need not be there, loaded when it is needed. `require` is written out, so that whoever
 * bundles CommonJS follows it; ES modules get `lazy-esm.ts` in place of this file.
 */

/** It takes longer than the rest of the package together. */
export const crypto = (): typeof import('node:crypto') => require('node:crypto');

export const tls = (): typeof import('node:tls') => require('node:tls');

/** node-postgres, or why it is not there. Outside of a `try`, bundlers fail on what is not installed. */
export function pg(): typeof import('pg') | { missing: unknown } {
  try {
    return require('pg');
  } catch (missing) {
    return { missing };
  }
}
