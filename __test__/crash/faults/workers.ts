/** Faults of one worker, of its way to the database, or of its sessions. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Place } from '../crew.js';
import { Random } from '../random.js';
import { type FaultOf, holdFor, type Surroundings } from './surroundings.js';

export function workerFaults(surroundings: Surroundings) {
  const { crew, pool, random } = surroundings;
  const beyondItsLease = ({ leaseDuration }: Place) =>
    delay(random.between(1.2 * leaseDuration, 3 * leaseDuration));
  return {
    /** It is killed by SIGKILL, and another takes its place. */
    kill: {
      weight: 28,
      async strike(place) {
        place.process.signal('SIGKILL');
        await place.process.exited;
        crew.replace(place);
      },
    },
    /** It is stopped by SIGSTOP for longer than its lease, then continued. */
    freeze: {
      weight: 18,
      async strike(place) {
        place.process.signal('SIGSTOP');
        await beyondItsLease(place);
        place.process.signal('SIGCONT');
      },
    },
    /** All its connections end, and new ones for a moment too. */
    cut: {
      weight: 14,
      async strike({ proxy }) {
        const until = performance.now() + random.pick([0, 200, 2_500]);
        do {
          proxy.cut();
          await delay(20);
        } while (performance.now() < until);
      },
    },
    /** Nothing gets through to it or from it for longer than its lease; then all arrives late. */
    silence: {
      weight: 14,
      async strike(place) {
        place.proxy.silence();
        await beyondItsLease(place);
        place.proxy.resume();
      },
    },
    /** Its connections stay open and silent for ever; new ones work. */
    halfOpen: {
      weight: 8,
      async strike({ proxy }) {
        proxy.forget();
      },
    },
    /** Messages between it and the server take a while to arrive. */
    lag: {
      weight: 8,
      async strike(place) {
        const chance = new Random(random.between(0, 2 ** 31));
        place.proxy.delay(() => chance.between(0, 300));
        await beyondItsLease(place);
        place.proxy.hurry();
      },
    },
    /** The server takes up to ten seconds for each statement that changes jobs. */
    slow: {
      weight: 6,
      async strike({ workerId }) {
        const ms = random.between(2_000, 10_000);
        await pool.query(
          `insert into slowness
          values ($1, 10000, $2, machine_time() + $3 * interval '1 millisecond')`,
          [workerId, random.pick([0, 0.5, 1]), ms],
        );
        await holdFor(ms, surroundings);
      },
    },
    /** The server ends its sessions, those of its handlers included. */
    terminate: {
      weight: 10,
      async strike({ workerId }) {
        await pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = $1 and random() < $2`,
          [workerId, random.pick([0.5, 1])],
        );
      },
    },
    /** It is stopped with too little time to drain, and another takes its place. */
    deploy: {
      weight: 6,
      async strike(place) {
        const { process } = place;
        process.send({ stop: { drainMs: random.pick([0, 100, 1_000]) } });
        crew.replace(place);
        await Promise.race([process.exited, delay(15_000)]);
        process.signal('SIGKILL');
      },
    },
  } satisfies Record<string, FaultOf<[Place]>>;
}
