import type { JobQueue } from 'pg-bg-job-queue';
import type { Display } from './display.js';
import { type JobPayloadMap, jobCount } from './jobs.js';
import type { Observation } from './observe.js';
import { counted, listed } from './text.js';

const pauseMs = 5_000;

/**
 * Makes failed jobs due before their time. An app would not: the queue retries by itself. Only, its
 * delays are minutes.
 */
export class Retries {
  #explained = false;
  #nextAt = 0;

  constructor(
    private readonly queue: JobQueue<JobPayloadMap>,
    private readonly display: Display,
  ) {}

  async look({ counts }: Observation): Promise<void> {
    // While there is a backlog, retries would only join it.
    if (counts.retrying === 0 || counts.due > 0) return;
    const nothingElse = counts.processing === 0 && counts.scheduled === 0;
    if (performance.now() < this.#nextAt && !nothingElse) return;
    this.#nextAt = performance.now() + pauseMs;
    await this.#makeDue();
  }

  async #makeDue(): Promise<void> {
    const failed = await this.queue.getJobsByStatus('failed', jobCount);
    const waiting = failed.filter((job) => job.next_attempt_at !== null);
    const minutes = waiting.map(({ next_attempt_at, updated_at }) =>
      Math.round(((next_attempt_at?.getTime() ?? 0) - updated_at.getTime()) / 60_000),
    );
    const delays = [...new Set(minutes)].sort((a, b) => a - b);
    const schedule = listed(
      delays.map(
        (delay) => `${minutes.filter((other) => other === delay).length} in ${delay} minutes`,
      ),
    );
    this.display.say(
      `${counted(waiting.length, 'job')} failed and will be tried again; by next_attempt_at, ${schedule}.`,
      'yellow',
    );
    if (!this.#explained) {
      this.#explained = true;
      const messages = new Set(waiting.map(({ error_history }) => reason(error_history)));
      this.display.say(`Their errors: ${listed([...messages])}.`);
      this.display.say(
        'Those delays are the real ones: 2 to the power of the attempts, in minutes. The demo does not wait for them and calls retryJob, which makes a job due now.',
      );
    }
    await Promise.all(waiting.map(({ id }) => this.queue.retryJob(id)));
  }
}

/** The last error without the address: "451 mailbox busy". */
function reason(history: readonly { message: string }[]): string {
  return history.at(-1)?.message.split(':')[0] ?? 'unknown';
}
