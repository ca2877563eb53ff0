/**
 * A background job queue for TypeScript apps, kept in the Postgres that they already have.
 *
 * @packageDocumentation
 */

import { loadAddonWith } from './addon/native.js';
import { requireAddon } from './addon/require.js';

loadAddonWith(requireAddon);

export * from './face.js';
