/**
 * Where an operation runs: on the queue's own connections, or on a client of the caller's. The
 * statement is the same, made in Rust; to a client it is given with text alone, and it answers one text
 * column, `result`, so that the answer is the same too, whatever the client does to dates, bigints and
 * JSON.
 */

// Not the global one: that is what fake timers replace.
import { setImmediate } from 'node:timers';
import type { ParsedJob, ParsedJobs } from './arguments/queue.js';
import { addBatch, MAX_INSERT } from './batch.js';
import { type Client, texts } from './clients/client.js';
import { describeClientError } from './clients/errors.js';
import { Enqueuer } from './enqueuer.js';
import { call, callSync, type NativeQueue, native } from './native.js';
import { type Operation, toMessage } from './operation.js';

export interface Database {
  /** Runs an operation and resolves to the result of each row. */
  run(operation: Operation): Promise<string[]>;
  /** Adds a job and resolves to its id. */
  addJob(job: ParsedJob): Promise<number>;
  /** Adds all jobs or none, and resolves to their ids. */
  addJobs(jobs: ParsedJobs): Promise<number[]>;
}

export class OwnDatabase implements Database {
  private underWay = 0;
  private onIdle: (() => void) | null = null;
  private readonly enqueuer: Enqueuer;

  constructor(private readonly queue: NativeQueue) {
    this.enqueuer = new Enqueuer(queue);
  }

  run(operation: Operation): Promise<string[]> {
    return this.watch(call(this.queue.run(toMessage(operation))));
  }

  addJob(job: ParsedJob): Promise<number> {
    return this.watch(this.enqueuer.add(job));
  }

  async addJobs(given: ParsedJobs): Promise<number[]> {
    if (given.count > MAX_INSERT) return await this.watch(addBatch(this.queue, given));
    const jobs = [...given.parts].flat();
    const [job] = jobs;
    // Of one job, all or none is the same.
    if (job !== undefined && jobs.length === 1) return [await this.addJob(job)];
    return (await this.run({ verb: 'enqueue', jobs })).map(Number);
  }

  private async watch<T>(answer: Promise<T>): Promise<T> {
    this.underWay++;
    try {
      // Awaited here alone: V8 follows a promise that two wait for to none of them, and the error's
      // stack would not lead to the caller.
      return await answer;
    } finally {
      this.underWay--;
      if (this.underWay === 0) setImmediate(() => this.onIdle?.());
    }
  }

  /** Resolves when what was asked before has been answered, and closes the connections. */
  async close(): Promise<void> {
    // An operation of several statements is between two of them for less than a turn of the loop.
    while (this.underWay > 0) {
      await new Promise<void>((resolve) => {
        this.onIdle = resolve;
      });
    }
    await call(this.queue.close());
  }
}

export class ClientDatabase implements Database {
  constructor(
    private readonly client: Client,
    private readonly schema: string,
  ) {}

  async run(operation: Operation): Promise<string[]> {
    const { text, values } = callSync(() =>
      native().operationStatement(this.schema, toMessage(operation)),
    );
    let answer: unknown;
    try {
      answer = await this.client.send(
        text,
        values.map((value) => value ?? null),
      );
    } catch (thrown) {
      throw describeClientError(this.client.beneath?.(thrown) ?? thrown);
    }
    return texts(answer);
  }

  async addJob(job: ParsedJob): Promise<number> {
    const [id] = await this.run({ verb: 'enqueue', jobs: [job] });
    return Number(id);
  }

  async addJobs({ parts }: ParsedJobs): Promise<number[]> {
    const ids = await this.run({ verb: 'enqueue', jobs: [...parts].flat() });
    return ids.map(Number);
  }
}
