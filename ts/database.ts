/**
 * Where an operation runs: on the queue's own connections, or on a client of the caller's. The
 * statement is the same, made in Rust; to a client it is given with text alone, and it answers one text
 * column, `result`, so that the answer is the same too, whatever the client does to dates, bigints and
 * JSON.
 */

// Not the global one: that is what fake timers replace.
import { setImmediate } from 'node:timers';
import { type Client, texts } from './clients/client.js';
import { describeClientError } from './clients/errors.js';
import { call, callSync, type NativeQueue, native } from './native.js';
import { type Operation, toMessage } from './operation.js';

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
      return await call(this.queue.run(toMessage(operation)));
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
}
