/**
 * The whole suite can run in other ways: `vitest run --mode pooler` puts PgBouncer, in transaction mode, before
 * the queues' connections, `--mode one-connection` gives each queue a single one. What cannot be so for a test
 * is said at the test, with its reason: `test.skipIf(behindPooler('LISTEN needs a session'))`.
 */
import { inject } from 'vitest';
import type { Address } from './network.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The pooler between the queues and the server of the run, if there is one. */
    pooler: Address | null;
    /** How many connections a queue may have; `null` is as many as by default. */
    maxConnections: number | null;
  }
}

/** Whether the queues of this run go through a pooler, which the test cannot have because of `reason`. */
export function behindPooler(_reason: string): boolean {
  return inject('pooler') !== null;
}

/** Whether the queues of this run have one connection, which is too few for the test because of `reason`. */
export function withOneConnection(_reason: string): boolean {
  return inject('maxConnections') === 1;
}
