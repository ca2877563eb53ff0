/** Faults of a few jobs, which must not harm any other job, and false notifications of strangers. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { sqlStates, transitions } from '../obstacles.js';
import {
  type FaultOf,
  holdFor,
  holdingTime,
  inTransaction,
  type Surroundings,
  someJobs,
} from './surroundings.js';

/** A role that may connect, and no more. */
const STRANGER = 'stranger';

const lockModes = ['update', 'no key update', 'share', 'key share'];

export function jobFaults(surroundings: Surroundings) {
  const { server, pool, random, touch } = surroundings;
  return {
    /** Somebody's transaction locks some jobs, in one of the four modes. */
    lockRows: {
      weight: 14,
      async strike() {
        const mode = random.pick(lockModes);
        const time = holdingTime(surroundings);
        const ids = await someJobs(pool, random.between(1, 6));
        await inTransaction(pool, async (client) => {
          // The weakest is that of a foreign key.
          touch(mode === 'key share' ? 'refer' : 'lockRows', ids);
          await client.query(
            `select from job_queue where id = any ($1) order by id for ${mode} skip locked`,
            [ids],
          );
          await holdFor(time, surroundings);
        });
      },
    },
    /** Somebody's transaction inserts rows that refer to jobs, as a handler of theirs may do. */
    refer: {
      weight: 8,
      async strike() {
        const time = holdingTime(surroundings);
        const ids = await someJobs(pool, random.between(1, 4));
        await inTransaction(pool, async (client) => {
          touch('refer', ids);
          await client.query(
            `insert into visit
            select id from job_queue where id = any ($1) order by id for key share skip locked`,
            [ids],
          );
          await holdFor(time, surroundings);
        });
      },
    },
    /** A trigger refuses a transition of a few jobs. */
    refuse: {
      weight: 12,
      async strike() {
        const ids = await someJobs(pool, random.between(1, 2));
        const ms = random.between(2_000, 20_000);
        touch('refuse', ids);
        await pool.query(
          `insert into refusal
          select id, $2, $3, machine_time() + $4 * interval '1 millisecond' from unnest($1::bigint[]) id`,
          [ids, random.pick(transitions), random.pick(sqlStates), ms],
        );
        await holdFor(ms, surroundings);
      },
    },
    /** A role without any right to the table sends the queue's notifications, hundreds of times a second. */
    spoof: {
      weight: 5,
      async strike() {
        const until = performance.now() + random.between(1_000, 4_000);
        const url = Object.assign(new URL(server.url()), { username: STRANGER });
        const client = new Client({ connectionString: url.href });
        client.on('error', () => {});
        await client.connect();
        try {
          while (performance.now() < until) {
            const ids = await someJobs(pool, 5);
            const cancels = ids.map((id) => `{"schema": "public", "cancel": ${id}}`);
            await client.query(
              `select pg_notify('pg_bg_job_queue', message) from unnest($1::text[]) message`,
              [['{"schema": "public", "ready": true}', ...cancels]],
            );
            await delay(20);
          }
        } finally {
          await client.end();
        }
      },
    },
  } satisfies Record<string, FaultOf<[]>>;
}

/** With the password of the server's own user, for the tests to know it. */
export const createStranger = (password: string) =>
  `create role ${STRANGER} login password '${password}'`;
