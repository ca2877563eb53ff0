/**
 * The package as an `import` of Node.js gets it. If Node.js imports a CommonJS module, it reads it once more for the
 * names of its exports, which takes longer than loading it.
 */
import { createRequire } from 'node:module';

const face: typeof import('./face.js') = createRequire(import.meta.url)('./index.js');

export const {
  createRouteHandler,
  currentJob,
  initJobQueue,
  JobQueueError,
  RetryAfter,
  Unrecoverable,
} = face;

// Node.js gives a CommonJS module the same default export.
export default face;
