/**
 * A background job queue for TypeScript apps, kept in the Postgres that they already have.
 *
 * @packageDocumentation
 */
import { requireAddon } from './addon/require.js';
import { loadAddonWith } from './native.js';

loadAddonWith(requireAddon);

export * from './face.js';
