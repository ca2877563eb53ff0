/** The workers of the crash test. Each place has its own way to the database, and always a worker. */
import { type Address, openProxy, type TestProxy } from '../helpers/network.js';
import { Process } from './process.js';
import type { Random } from './random.js';
import type { FromWorker, ToWorker, WorkerSettings } from './worker.js';

export interface Place {
  readonly number: number;
  readonly proxy: TestProxy;
  workerId: string;
  leaseDuration: number;
  process: Process<WorkerSettings, ToWorker, FromWorker>;
  /** Something is being done to it that is not over yet. */
  busy: boolean;
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
      this.places.push({ number, proxy, busy: false, ...this.#hire(number, proxy) });
    }
  }

  /** Puts a new worker in the place of one that has ended or will. */
  replace(place: Place): void {
    Object.assign(place, this.#hire(place.number, place.proxy));
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

  #hire(number: number, proxy: TestProxy) {
    const workerId = `worker-${number}.${++this.#hired}`;
    const leaseDuration = this.random.between(1_000, 2_000);
    const process = new Process<WorkerSettings, ToWorker, FromWorker>(
      'worker.ts',
      { url: through(this.databaseUrl, proxy), workerId, leaseDuration },
      ({ errors }) => {
        for (const [code, count] of Object.entries(errors)) {
          this.errors[code] = (this.errors[code] ?? 0) + count;
        }
      },
      (how) => this.deaths.push(`${workerId}: ${how}`),
    );
    return { workerId, leaseDuration, process };
  }
}

/** The connection string `url`, by way of a proxy. */
export function through(url: string, { address }: TestProxy): string {
  return Object.assign(new URL(url), { hostname: address.host, port: String(address.port) }).href;
}
