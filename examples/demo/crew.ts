/** The worker processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Display } from './display.js';
import { unlessAborted } from './interruption.js';
import type { Address } from './place.js';
import { type Assignment, type Order, workerVariable } from './worker.js';

const dismissalMs = 35_000;

export class Crew implements AsyncDisposable {
  readonly members: readonly Member[];

  /** Starts the processes. They begin to work when they are told to. */
  constructor(assignments: Assignment[], display: Display) {
    this.members = assignments.map((assignment) => new Member(assignment, display));
  }

  async ready(signal: AbortSignal): Promise<void> {
    await unlessAborted(Promise.all(this.members.map((member) => member.ready)), signal);
  }

  startWork(): void {
    for (const member of this.members) member.tell('start');
  }

  /** Throws if a worker has ended that nobody killed. */
  check(): void {
    for (const member of this.members) member.check();
  }

  /** Lets the workers end by themselves, as they do after what they run. */
  async dismiss(signal: AbortSignal): Promise<void> {
    const present = this.members.filter((member) => !member.killed);
    for (const member of present) member.tell('stop');
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(dismissalMs)]);
    await unlessAborted(Promise.all(present.map((member) => member.dismissed())), inTime);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }
}

export class Member {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
  killed = false;
  readonly #child: ChildProcess;
  #end: string | undefined;

  constructor(assignment: Assignment, display: Display) {
    this.name = assignment.workerId;
    // As this process runs, TypeScript included. Detached: a Ctrl-C is for the demo, which then ends
    // its workers; a worker whose demo is gone ends by itself.
    this.#child = fork(join(__dirname, 'worker.ts'), {
      env: { ...process.env, [workerVariable]: JSON.stringify(assignment) },
      detached: process.platform !== 'win32',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#end = signal ?? `code ${code}`;
        resolve();
      });
    });
    this.ready = new Promise((resolve, reject) => {
      this.#child.once('message', () => resolve());
      this.#child.once('error', reject);
      this.#child.once('exit', () => reject(new Error(`${this.name} did not start`)));
    });
    this.ready.catch(() => {});
    // Anything that a worker complains of is worth seeing.
    if (this.#child.stderr) {
      createInterface(this.#child.stderr).on('line', (line) => {
        display.say(`${this.name}: ${line}`, 'red');
      });
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  tell(order: Order): void {
    this.#child.send(order);
  }

  /** At once, as a crash or the kernel would: the worker has no say in it. */
  async kill(): Promise<void> {
    this.killed = true;
    if (this.#end !== undefined) return;
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  async dismissed(): Promise<void> {
    await this.exited;
    if (this.#end !== 'code 0') throw new Error(`${this.name} has not ended well (${this.#end})`);
  }

  check(): void {
    if (this.#end !== undefined && !this.killed) {
      throw new Error(`${this.name} has ended by itself (${this.#end})`);
    }
  }
}

/** Workers named `worker-1` and so on. */
export function assignments(
  count: number,
  address: Address,
  options: Pick<Assignment, 'concurrency' | 'pollInterval'>,
): Assignment[] {
  return Array.from({ length: count }, (_, index) => ({
    workerId: `worker-${index + 1}`,
    address,
    ...options,
  }));
}
