/** The processes of the crash test: TypeScript, run as it is, that talk to the runner by messages. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export class Process<Settings, To extends object, From> {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #expected = false;

  /** `onDeath` is told if it ends otherwise than by `kill` or with code 0. */
  constructor(
    script: string,
    settings: Settings,
    onMessage: (message: From) => void,
    onDeath: (how: string) => void,
  ) {
    this.#child = fork(join(__dirname, script), [JSON.stringify(settings)], {
      execArgv: ['--import', 'tsx'],
      // A runner that is itself run by a tool may have options for Node that are not for these.
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message) => onMessage(message as From));
    this.#child.on('error', () => {});
    this.#child.once('exit', (code, signal) => {
      if (!this.#expected && code !== 0)
        onDeath(`${script} ended with ${signal ?? `code ${code}`}`);
    });
    this.#exited = Promise.all([once(this.#child, 'exit'), once(this.#child, 'disconnect')]);
  }

  send(message: To): void {
    // It may have ended in this moment.
    this.#child.send(message, () => {});
  }

  /** As `kill -s`. SIGKILL ends it also while it is frozen. */
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    if (signal === 'SIGKILL') this.#expected = true;
    this.#child.kill(signal);
  }

  /** Settles when it has ended and all that it said has been heard. */
  get exited(): Promise<unknown> {
    return this.#exited;
  }
}
