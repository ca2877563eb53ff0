/** The jobs of the crash test: what they are asked to do, and in what proportions. */
import type { AnyJobOptions, IdempotencyHold } from '../../index.js';
import { BURIED } from './audit.js';
import type { Random } from './random.js';

interface Keyed {
  /** Unique, so that a job that was added twice is found. */
  key: string;
}

export interface Payloads {
  /** Records that it began and that it ended. */
  quick: Keyed;
  /** The same, with a wait between. Of a higher priority, so that it does not wait in line once its lease has ended. */
  long: Keyed & { ms: number; heedsSignal: boolean };
  /** Throws in its first attempts. */
  failing: Keyed & { failures: number };
  /** Takes longer than it may. */
  late: Keyed & { heedsSignal: boolean };
  /**
   * Records what it did in the transaction in which it completes its job. Rolls back, or throws
   * after the commit, if so asked.
   */
  transaction: Keyed & { rollbacks: number; throwsAfter: boolean };
  /**
   * Throws in its first attempt, after a while. Of one name, Postgres lets only one wait at a time, or only one
   * wait or run.
   */
  twin: Keyed & { ms: number; waiting?: string; open?: string };
  /** Never ends, and hears no signal; for ever, or `once`, so that its next run ends. */
  hanging: Keyed & { once: boolean };
}

const proportions: Record<keyof Payloads, number> = {
  quick: 680,
  long: 40,
  failing: 80,
  late: 10,
  transaction: 170,
  twin: 16,
  hanging: 4,
};

export interface Mixture {
  /** How many names there are for twins. */
  names: number;
  /** Types that are left out. */
  without: (keyof Payloads)[];
}

/** Keys that are held until their jobs have settled, or until they are claimed, or, so to say, for ever. */
const HOLDS: Record<string, [hold: IdempotencyHold, keys: number]> = {
  unsettled: ['unsettled', 8],
  queued: ['queued', 8],
  once: [3_155_760_000_000, 50],
};

/** The key of the few jobs that are to be added only once, and how long it is held. */
function randomHold(random: Random) {
  if (!random.chance(0.1)) return {};
  const name = random.pick(Object.keys(HOLDS));
  const [idempotency_hold, keys] = HOLDS[name] as [IdempotencyHold, number];
  return { idempotency_key: `${name}-${random.between(1, keys)}`, idempotency_hold };
}

export function randomJob(random: Random, key: string, mixture: Mixture): AnyJobOptions<Payloads> {
  return { ...randomTask(random, key, mixture), ...randomHold(random) };
}

function randomTask(
  random: Random,
  key: string,
  { names, without }: Mixture,
): AnyJobOptions<Payloads> {
  // Where there is but one, none can be lost unseen.
  const fewOrOne = () => (random.chance(0.2) ? 1 : 4);
  // Of those that may fail for good.
  const dead_letter_job_type = random.chance(0.5) ? BURIED : null;
  const left = Object.fromEntries(without.map((type) => [type, 0]));
  switch (random.weighted({ ...proportions, ...left })) {
    case 'quick':
      return {
        job_type: 'quick',
        payload: { key },
        max_attempts: fewOrOne(),
        dead_letter_job_type,
      };
    case 'long': {
      const payload = { key, ms: random.between(200, 1500), heedsSignal: random.chance(0.5) };
      return { job_type: 'long', payload, max_attempts: fewOrOne(), priority: 1 };
    }
    case 'failing': {
      const payload = { key, failures: random.between(1, 3) };
      return { job_type: 'failing', payload, max_attempts: 3, dead_letter_job_type };
    }
    case 'late': {
      const payload = { key, heedsSignal: random.chance(0.5) };
      return {
        job_type: 'late',
        payload,
        max_attempts: 2,
        timeout_ms: random.between(100, 600),
        dead_letter_job_type,
      };
    }
    case 'transaction': {
      const rollbacks = random.chance(0.1) ? 1 : 0;
      const payload = { key, rollbacks, throwsAfter: random.chance(0.1) };
      return { job_type: 'transaction', payload, max_attempts: 4 };
    }
    case 'twin': {
      const name = `twin-${random.between(1, names)}`;
      const payload = {
        key,
        ms: random.between(0, 500),
        [random.pick(['waiting', 'open'])]: name,
      };
      return { job_type: 'twin', payload, max_attempts: 3 };
    }
    case 'hanging': {
      const once = random.chance(0.4);
      const timeout_ms = once ? null : random.between(100, 600);
      return { job_type: 'hanging', payload: { key, once }, max_attempts: 3, timeout_ms };
    }
  }
}
