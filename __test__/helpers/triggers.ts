/** Triggers of the user's on the table of jobs, gone when a test is over. */
import { afterEach } from 'vitest';
import type { JobQueueError, ProcessorOptions } from '../../index.js';
import { type Jobs, Journal } from './jobs.js';
import type { QueueOptions } from './queue.js';

export function useTriggers(jobs: Jobs) {
  afterEach(() =>
    jobs.database.query(`
      drop trigger if exists odd on job_queue;
      drop function if exists odd();
      truncate job_queue`),
  );

  /** A trigger that does something where `condition` holds of `old` and `new`. */
  async function trigger(condition: string, what: string): Promise<void> {
    await jobs.database.query(`
      create function odd() returns trigger language plpgsql as $$
      begin
        if ${condition} then ${what}; end if;
        return coalesce(new, old);
      end $$;
      create trigger odd before update or delete on job_queue for each row execute function odd()`);
  }

  /** The same, which runs at the commit, where no limit of a statement holds. */
  async function deferredTrigger(condition: string, what: string): Promise<void> {
    await trigger(condition, what);
    await jobs.database.query(`
      drop trigger odd on job_queue;
      create constraint trigger odd after update or delete on job_queue deferrable initially deferred
      for each row execute function odd()`);
  }

  return {
    trigger,
    deferredTrigger,
    passOver: (condition: string) => trigger(condition, 'return null'),
  };
}

/** A processor whose handler notes the payloads, and that notes what it is told. */
export async function notingProcessor(
  jobs: Jobs,
  options: ProcessorOptions = {},
  queueOptions?: QueueOptions,
) {
  const queue = await jobs.openQueue(queueOptions);
  const ran = new Journal();
  const told = new Journal<JobQueueError>();
  const processor = queue.createProcessor(
    { job: async (payload: unknown) => ran.note(payload) },
    { onError: (error) => told.note(error), ...options },
  );
  return { queue, processor, ran, told };
}
