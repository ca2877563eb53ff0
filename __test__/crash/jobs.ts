/** The jobs of the crash test: what they are asked to do, and in what proportions. */
import type { AnyJobOptions } from '../../index.js';
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
}

const proportions: Record<keyof Payloads, number> = {
  quick: 70,
  long: 4,
  failing: 8,
  late: 1,
  transaction: 17,
};

export function randomJob(random: Random, key: string): AnyJobOptions<Payloads> {
  switch (random.weighted(proportions)) {
    case 'quick':
      return { job_type: 'quick', payload: { key }, max_attempts: 4 };
    case 'long': {
      const payload = { key, ms: random.between(200, 1500), heedsSignal: random.chance(0.5) };
      return { job_type: 'long', payload, max_attempts: 4, priority: 1 };
    }
    case 'failing': {
      const payload = { key, failures: random.between(1, 3) };
      return { job_type: 'failing', payload, max_attempts: 3 };
    }
    case 'late': {
      const payload = { key, heedsSignal: random.chance(0.5) };
      return {
        job_type: 'late',
        payload,
        max_attempts: 2,
        timeout_ms: random.between(100, 600),
      };
    }
    case 'transaction': {
      const rollbacks = random.chance(0.1) ? 1 : 0;
      const payload = { key, rollbacks, throwsAfter: random.chance(0.1) };
      return { job_type: 'transaction', payload, max_attempts: 4 };
    }
  }
}
