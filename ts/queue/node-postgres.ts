/** The pool of `getPool()`. */

import type { Pool, PoolConfig } from 'pg';
import { pg } from '../basics/lazy.js';
import { JobQueueError } from '../errors/job-queue-error.js';

/** Creates a node-postgres pool. That package is the user's: this one works without it. */
export function createPool(config: PoolConfig): Pool {
  const library = pg();
  if ('missing' in library) {
    throw new JobQueueError(
      'INVALID_CONFIG',
      'getPool: the package pg is not installed; run `npm install pg` to use it',
      { cause: library.missing },
    );
  }
  const pool = new library.Pool(config);
  // A connection that is lost while idle is replaced. Without a listener, its error would end the process.
  pool.on('error', () => {});
  return pool;
}
