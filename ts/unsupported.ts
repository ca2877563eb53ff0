/**
 * The package in an edge runtime or a browser, where there is no Node.js. It has the same exports, so that code which
 * imports it builds. Functions that need the addon throw an error that says what is wrong.
 */
import { JobQueueError } from './errors/job-queue-error.js';

export { JobQueueError };

export async function initJobQueue(): Promise<never> {
  throw unsupported('initJobQueue');
}

export function createRouteHandler(): never {
  throw unsupported('createRouteHandler');
}

export function currentJob(): never {
  throw unsupported('currentJob');
}

export class RetryAfter extends Error {
  constructor() {
    super();
    throw unsupported('RetryAfter');
  }
}

export class Unrecoverable extends Error {
  constructor() {
    super();
    throw unsupported('Unrecoverable');
  }
}

function unsupported(name: string): JobQueueError {
  return new JobQueueError(
    'ADDON_UNAVAILABLE',
    `${name}: pg-bg-job-queue needs the Node.js runtime, and this code was built for an edge runtime or ` +
      "a browser. In Next.js, remove `export const runtime = 'edge'`, call the queue from a route " +
      'handler, a server action or a server component, and keep it out of client components. In tests of ' +
      'the environment jsdom, begin the file with `/** @jest-environment node */`.',
  );
}
