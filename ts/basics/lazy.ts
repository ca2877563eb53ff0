/**
 * Modules that take long to load, or need not be installed, loaded when they are needed. `require` is written out, so
 * that bundlers of CommonJS follow it. ES modules get `lazy-esm.ts` in place of this file.
 */

/** It takes longer to load than the rest of the package together. */
export const crypto = (): typeof import('node:crypto') => require('node:crypto');

export const tls = (): typeof import('node:tls') => require('node:tls');

/**
 * node-postgres, or the error that says why it is missing. Outside of a `try`, bundlers fail if it is not installed.
 */
export function pg(): typeof import('pg') | { missing: unknown } {
  try {
    return require('pg');
  } catch (missing) {
    return { missing };
  }
}
