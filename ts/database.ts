/**
 * Where an operation runs: on the queue's own connections, or on a client of the caller's. The
 * statement is the same, made in Rust; it takes text alone and answers one text column, `result`, so
 * that the answer is the same too, whatever the client does to dates, bigints and JSON.
 */

// Not the global one: that is what fake timers replace.
import { setImmediate } from 'node:timers';
import { describeError } from './describe-error.js';
import { JobQueueError } from './errors.js';
import {
  call,
  callSync,
  type NativeError,
  type NativeQueue,
  native,
  toJobQueueError,
} from './native.js';
import type { Operation } from './operation.js';
import type { DatabaseClient } from './types.js';

export interface Database {
  /** Runs an operation and resolves to the result of each row. */
  run(operation: Operation): Promise<string[]>;
}

export class OwnDatabase implements Database {
  private underWay = 0;
  private onIdle: (() => void) | null = null;

  constructor(private readonly queue: NativeQueue) {}

  async run(operation: Operation): Promise<string[]> {
    this.underWay++;
    try {
      // Awaited here alone: V8 follows a promise that two wait for to none of them, and the error's
      // stack would not lead to the caller.
      return await call(this.queue.run(JSON.stringify(operation)));
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
    private readonly client: DatabaseClient,
    private readonly schema: string,
  ) {}

  async run(operation: Operation): Promise<string[]> {
    const { text, values } = callSync(() =>
      native().operationStatement(this.schema, JSON.stringify(operation)),
    );
    let answer: Awaited<ReturnType<DatabaseClient['query']>>;
    try {
      answer = await this.client.query(text, values);
    } catch (error) {
      throw describeClientError(error);
    }
    return answer.rows.map((row) => (row as { result: string }).result);
  }
}

/** What a caller's client threw, in the words that the queue's own connections use. */
function describeClientError(thrown: unknown): JobQueueError {
  const { code, message, syscall } = (thrown ?? {}) as Record<string, unknown>;
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && syscall === undefined) {
    const error = JSON.parse(native().describeRefusal(code, String(message))) as NativeError;
    // An error about the data, about a constraint, or of a trigger, may hold the data.
    return toJobQueueError(error, /^(?:2[23]|P0)/.test(code) ? undefined : thrown);
  }
  const text = describeError(thrown).message;
  // node-postgres has no codes of its own; what it says of connections has the word in it.
  const connecting = (typeof code === 'string' && /^E[A-Z_]+$/.test(code)) || /connect/i.test(text);
  return new JobQueueError(
    connecting ? 'CONNECTION_FAILED' : 'DATABASE_ERROR',
    `the database client that was passed in failed: ${text}`,
    { cause: thrown },
  );
}
