/**
 * The two databases that an operation can run on: the queue's own connections, and a client of the caller's. The
 * statement is the same, made in Rust. A client gets it with text values alone, and it answers one text column,
 * `result`: so the answer is the same too, however the client converts dates, bigints and JSON.
 */

import { type Ask, call, callSync, type NativeError, type NativeQueue } from '../addon/native.js';
import { toJson } from '../basics/json.js';
import { setImmediate } from '../basics/timers.js';
import { within } from '../basics/within.js';
import { type Client, texts } from '../clients/client.js';
import { describeClientError } from '../clients/errors.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import type { ParsedJob } from '../job/new-job.js';
import type { ParsedJobs } from '../job/new-jobs.js';
import { addMany, eachPart, MAX_INSERT } from './add-many.js';
import { type Added, Enqueuer } from './enqueuer.js';
import { type Operation, toMessage } from './operation.js';

export interface Database {
  /** Runs an operation and resolves to the result of each row. */
  run(operation: Operation): Promise<string[]>;
  /** Adds a job and resolves to what has become of it. */
  addJob(job: ParsedJob): Promise<Added>;
  /** Adds all jobs or none, and resolves to their ids. */
  addJobs(jobs: ParsedJobs): Promise<number[]>;
}

/** How many milliseconds `close` waits for the calls under way, and again for the connections to close. */
export const PATIENCE = 5_000;

/** An error as the addon describes it, so that each call makes an error of its own of it. */
const CLOSED = toJson({
  code: 'CLOSED',
  message: 'the job queue was closed before Postgres answered: the statement may have run',
  sqlState: null,
  cause: null,
} satisfies NativeError);

export class OwnDatabase implements Database {
  private underWay = 0;
  private onIdle: (() => void) | null = null;
  /** Ends the wait for each answer that has not come yet. */
  private readonly rejects = new Set<(reason: Error) => void>();
  private readonly enqueuer: Enqueuer;

  constructor(private readonly queue: NativeQueue) {
    this.enqueuer = new Enqueuer(queue, this.untilClosed);
  }

  /** Waits for the answer for `limitMs` milliseconds, or for the `query_timeout` if that is `null`. */
  run(operation: Operation, limitMs: number | null = null): Promise<string[]> {
    return this.watch(this.ask(this.queue.run(toMessage(operation), limitMs)));
  }

  addJob(job: ParsedJob): Promise<Added> {
    return this.watch(this.enqueuer.add(job));
  }

  async addJobs(given: ParsedJobs): Promise<number[]> {
    if (given.count > MAX_INSERT) return await this.watch(addMany(this.queue, given, this.ask));
    const jobs = await allOf(given);
    const [job] = jobs;
    // One job is always all or none.
    if (job !== undefined && jobs.length === 1) return [idOf(await this.addJob(job))];
    return addedOf(await this.run({ verb: 'enqueue', jobs })).map(idOf);
  }

  private readonly ask: Ask = (answer) => call(this.untilClosed(answer));

  /** Awaits an answer of the addon until the queue is closed. */
  private readonly untilClosed: Ask = (answer) =>
    new Promise((resolve, reject) => {
      this.rejects.add(reject);
      answer.then(resolve, reject).finally(() => this.rejects.delete(reject));
    });

  private async watch<T>(answer: Promise<T>): Promise<T> {
    this.underWay++;
    try {
      // Nothing else may await this promise: V8 follows a promise with two awaits to neither of them, and the
      // error's stack would not lead to the caller.
      return await answer;
    } finally {
      this.underWay--;
      if (this.underWay === 0) setImmediate(() => this.onIdle?.());
    }
  }

  /**
   * Closes the connections when the calls under way have been answered. Calls that take longer, because they wait for a
   * lock or for a server that is gone, reject.
   */
  async close(): Promise<void> {
    await within(PATIENCE, this.idle());
    for (const reject of this.rejects) reject(new Error(CLOSED));
    await within(PATIENCE, call(this.queue.close()));
  }

  private async idle(): Promise<void> {
    // An operation of several statements is between two of them for less than a turn of the loop.
    while (this.underWay > 0) {
      await new Promise<void>((resolve) => {
        this.onIdle = resolve;
      });
    }
  }
}

export class ClientDatabase implements Database {
  constructor(
    private readonly client: Client,
    private readonly queue: NativeQueue,
  ) {}

  async run(operation: Operation): Promise<string[]> {
    const { text, values } = callSync(() => this.queue.statement(toMessage(operation)));
    let answer: unknown;
    try {
      answer = await this.client.send(
        text,
        values.map((value) => value ?? null),
      );
    } catch (thrown) {
      throw describeClientError(this.client.beneath?.(thrown) ?? thrown, this.queue);
    }
    return texts(answer);
  }

  async addJob(job: ParsedJob): Promise<Added> {
    const [added] = addedOf(await this.run({ verb: 'enqueue', jobs: [job] }));
    return added as Added;
  }

  async addJobs(given: ParsedJobs): Promise<number[]> {
    return addedOf(await this.run({ verb: 'enqueue', jobs: await allOf(given) })).map(idOf);
  }
}

/** What has become of each job, by its place, out of the answer of `enqueue`: see `src/store/enqueue.rs`. */
function addedOf([added]: string[]): Added[] {
  if (added === undefined) throw keptOut();
  return JSON.parse(added) as Added[];
}

/** The id of a job that was added, or of the one that holds its key. */
export const idOf = (added: Added): number => (typeof added === 'number' ? added : added[0]);

/**
 * The error of `src/connect/refusal.rs` for an insert without a row: a trigger returned null, or a rule replaced it.
 */
function keptOut(): JobQueueError {
  const message =
    'a trigger or a rule of the database discarded the job without raising an error: it was not added';
  return new JobQueueError('DATABASE_ERROR', message, { sqlState: '02000' });
}

async function allOf({ parts }: ParsedJobs): Promise<ParsedJob[]> {
  const jobs: ParsedJob[] = [];
  await eachPart(parts, (part) => jobs.push(...part));
  return jobs;
}
