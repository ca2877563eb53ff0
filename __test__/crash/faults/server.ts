/** Faults of the server, or of the whole table, which meet all workers at once. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { EmbeddedPostgres } from '../../../tools/embedded-postgres.js';
import {
  type FaultOf,
  holdFor,
  holdingTime,
  inTransaction,
  type Surroundings,
} from './surroundings.js';

const lockModes = [
  'access share',
  'row share',
  'row exclusive',
  'share update exclusive',
  'share',
  'share row exclusive',
  'exclusive',
  'access exclusive',
];

export function serverFaults(surroundings: Surroundings) {
  const { server, pool, random } = surroundings;
  return {
    /** It crashes, and is started again. */
    restart: {
      weight: 4,
      async strike() {
        server.kill('SIGQUIT');
        await server.exited;
        await delay(random.pick([0, 500, 2_000]));
        await server.restart();
      },
    },
    /** Somebody locks the table, in one of the eight modes. */
    lockTable: {
      weight: 6,
      async strike() {
        const mode = random.pick(lockModes);
        const time = holdingTime(surroundings);
        await inTransaction(pool, async (client) => {
          await client.query(`lock table job_queue in ${mode} mode`);
          await holdFor(time, surroundings);
        });
      },
    },
    /** The table is written anew. */
    vacuumFull: {
      weight: 3,
      async strike() {
        const client = await pool.connect();
        try {
          await client.query(`set lock_timeout = '2s'`);
          await client.query('vacuum full job_queue');
        } finally {
          client.release(true);
        }
      },
    },
    /** Its clock goes back by more than any lease, and then forward to where it was. */
    clock: {
      weight: 4,
      async strike() {
        await server.setClock(-random.between(2_400, 6_000));
        await delay(random.between(500, 4_000));
        await server.setClock(0);
      },
    },
  } satisfies Record<string, FaultOf<[]>>;
}

/** Throws if the server ignores the setting of its clock: there would be no fault. */
export async function proveClock(server: EmbeddedPostgres, pool: Pool): Promise<void> {
  await server.setClock(-3_600_000);
  const { rows } = await pool.query<{ now: Date }>('select clock_timestamp() as now');
  await server.setClock(0);
  const behind = Date.now() - Number(rows[0]?.now);
  if (Math.abs(behind - 3_600_000) > 60_000) {
    throw new Error(`the server's clock, put back by an hour, is ${behind} ms behind`);
  }
}
