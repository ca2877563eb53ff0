import type { Pool, PoolConfig } from 'pg';
import { JobQueueError } from './errors.js';

/** Makes a node-postgres pool. The package is the user's: this one works without it. */
export function createPool(config: PoolConfig): Pool {
  let pg: typeof import('pg');
  try {
    pg = require('pg');
  } catch (cause) {
    throw new JobQueueError(
      'INVALID_CONFIG',
      'getPool: the package pg is not installed; run `npm install pg` to use it',
      { cause },
    );
  }
  const pool = new pg.Pool(config);
  // A connection that is lost while idle is replaced; without a listener it would end the process.
  pool.on('error', () => {});
  return pool;
}
