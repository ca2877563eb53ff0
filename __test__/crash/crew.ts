/** The workers of the crash test. Each place has its own way to the database, and always a worker. */
import { type Address, openProxy, type TestProxy } from '../helpers/network.js';
import { Process } from './process.js';
import type { Random } from './random.js';
import type { FromWorker, ToWorker, WorkerSettings } from './worker.js';

export interface Place {
  readonly number: number;
  readonly proxy: TestProxy;
  readonly workerId: string;
  readonly leaseDuration: number;
  readonly process: Process<WorkerSettings, ToWorker, FromWorker>;
  /** Its worker has been started, and nothing is being done to it that is not over yet. */
  works: boolean;
}

export class Crew implements AsyncDisposable {
  readonly places: Place[] = [];
  /** What `onError` of the workers was told, of those that could still say so. */
  readonly errors: Record<string, number> = {};
  /** Workers that ended by themselves. */
  readonly deaths: string[] = [];
  #hired = 0;

  constructor(
    readonly databaseUrl: string,
    readonly random: Random,
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

  /** Lets all workers end what they do; resolves when they are gone. */
  async dismiss(): Promise<void> {
    for (const { process } of this.places) process.send({ stop: { drainMs: 10_000 } });
    await Promise.all(this.places.map(({ process }) => process.exited));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of this.places) process.signal('SIGKILL');
    await Promise.all(this.places.map(({ process }) => process.exited));
    for (const { proxy } of this.places) await proxy[Symbol.asyncDispose]();
  }

  #hire(number: number, proxy: TestProxy): Place {
    const workerId = `worker-${number}.${++this.#hired}`;
    const leaseDuration = this.random.between(1_000, 2_000);
    const process = new Process<WorkerSettings, ToWorker, FromWorker>(
      'worker.ts',
      { url: through(this.databaseUrl, proxy), workerId, leaseDuration },
      (message) => {
        if ('started' in message) place.works = true;
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
