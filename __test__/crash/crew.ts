/** The workers of the crash test. Each place has its own way to the database, and always a worker. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Address, openProxy, type TestProxy } from '../helpers/network.js';
import { REMOVING } from './audit.js';
import { Process } from './process.js';
import type { Random } from './random.js';
import type { Stall } from './stalls.js';
import type { FromWorker, ToWorker, WorkerSettings } from './worker.js';

export interface Place {
  readonly number: number;
  readonly proxy: TestProxy;
  readonly workerId: string;
  readonly leaseDuration: number;
  readonly process: Process<WorkerSettings, ToWorker, FromWorker>;
  /** Its worker has been started, and no fault of it is under way. */
  works: boolean;
}

/** How long a worker may take to end, beyond the time that its handlers are given. */
const END_TIMEOUT = 20_000;

export class Crew implements AsyncDisposable {
  readonly places: Place[] = [];
  /** The errors that `onError` of the workers got, from those that could still report them. */
  readonly errors: Record<string, number> = {};
  /** The runs that handlers said had begun; `at` in milliseconds since the Unix epoch. */
  readonly begun: { worker: string; jobId: number; attempt: number; at: number }[] = [];
  /** When workers stood still. */
  readonly stalls: (Stall & { worker: string })[] = [];
  /** Workers that ended by themselves. */
  readonly deaths: string[] = [];
  /** Workers that did not end when they were told to, although nothing was in their way. */
  readonly stuck: string[] = [];
  #hired = 0;
  #isCalm = false;

  constructor(
    readonly databaseUrl: string,
    readonly random: Random,
    /** Whether one of the workers removes the jobs that it completes. */
    readonly removing: boolean,
  ) {}

  async open(size: number): Promise<void> {
    const { hostname, port } = new URL(this.databaseUrl);
    const target: Address = { host: hostname, port: Number(port) };
    for (let number = 0; number < size; number++) {
      const proxy = await openProxy(target);
      this.places.push(this.#hire(number, proxy));
    }
  }

  /** Puts a new worker in the place of one that has ended or will. */
  replace(place: Place): void {
    const { number, proxy } = place;
    this.places[number] = this.#hire(number, proxy);
  }

  /** Puts new workers in all places, now that all is calm. Hanging jobs of the old ones are handed back. */
  async relieve(): Promise<void> {
    this.#isCalm = true;
    const old = [...this.places];
    for (const place of old) this.replace(place);
    await Promise.all(old.map((place) => this.#stop(place, 100)));
  }

  /** Lets all workers end what they do; resolves when they are gone. */
  async dismiss(): Promise<void> {
    await Promise.all(this.places.map((place) => this.#stop(place, 10_000)));
  }

  async #stop({ workerId, process }: Place, drainMs: number): Promise<void> {
    process.send({ stop: { drainMs } });
    const patience = new AbortController();
    const tooLong = delay(drainMs + END_TIMEOUT, 'stuck', { signal: patience.signal });
    const how = await Promise.race([process.exited, tooLong.catch(() => {})]);
    patience.abort();
    if (how !== 'stuck') return;
    this.stuck.push(workerId);
    process.signal('SIGKILL');
    await process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of this.places) process.signal('SIGKILL');
    await Promise.all(this.places.map(({ process }) => process.exited));
    for (const { proxy } of this.places) await proxy[Symbol.asyncDispose]();
  }

  #hire(number: number, proxy: TestProxy): Place {
    const removeOnComplete = this.removing && number === 0;
    const workerId = `worker-${number}.${++this.#hired}${removeOnComplete ? REMOVING : ''}`;
    const leaseDuration = this.random.between(1_000, 2_000);
    const process = new Process<WorkerSettings, ToWorker, FromWorker>(
      'worker.ts',
      {
        url: through(this.databaseUrl, proxy),
        workerId,
        leaseDuration,
        removeOnComplete,
        mayHang: !this.#isCalm,
        isOld: number === 1,
      },
      (message) => {
        if ('begun' in message) this.begun.push({ worker: workerId, ...message.begun });
        else if ('stalled' in message) this.stalls.push({ worker: workerId, ...message.stalled });
        else if ('started' in message) place.works = true;
        else this.#note(message.errors);
      },
      (how) => this.deaths.push(`${workerId}: ${how}`),
    );
    const place: Place = { number, proxy, workerId, leaseDuration, process, works: false };
    return place;
  }

  #note(errors: Record<string, number>): void {
    for (const [code, count] of Object.entries(errors)) {
      this.errors[code] = (this.errors[code] ?? 0) + count;
    }
  }
}

/** The connection string `url`, by way of a proxy. */
export function through(url: string, { address }: TestProxy): string {
  return Object.assign(new URL(url), { hostname: address.host, port: String(address.port) }).href;
}
