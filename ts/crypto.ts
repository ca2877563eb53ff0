/** `node:crypto`, loaded when it is first needed: it takes longer than the rest of the package together. */
export const crypto = (): typeof import('node:crypto') => require('node:crypto');
