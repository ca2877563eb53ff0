/**
 * The package as an `import` of Node.js gets it. A CommonJS module that is imported is read once more for
 * the names of its exports, which takes Node.js longer than loading it.
 */
import { createRequire } from 'node:module';

const face: typeof import('./face.js') = createRequire(import.meta.url)('./index.js');

export const { createRouteHandler, currentJob, initJobQueue, JobQueueError } = face;

// As where Node.js makes the module of the CommonJS one.
export default face;
