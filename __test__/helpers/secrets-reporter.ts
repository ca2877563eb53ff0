import type { UserConsoleLog } from 'vitest';
import type { Reporter, Vitest } from 'vitest/node';
import { secretsOf } from './secrets.js';

/** Fails a run in which a line that was printed, by whichever test, holds a secret. */
export default class SecretsReporter implements Reporter {
  #vitest: Vitest | undefined;
  readonly #told: string[] = [];

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onUserConsoleLog({ content, taskId }: UserConsoleLog): void {
    const { serverUrl } = this.#vitest?.getRootProject().getProvidedContext() ?? {};
    if (!serverUrl || !secretsOf(serverUrl).some((secret) => content.includes(secret))) return;
    const task = taskId ? this.#vitest?.state.idMap.get(taskId) : undefined;
    this.#told.push(task?.name ?? 'outside of a test');
  }

  onTestRunEnd(): void {
    for (const test of this.#told) console.error(`A SECRET WAS PRINTED: ${test}`);
    if (this.#told.length > 0) process.exitCode = 1;
  }
}
