/** What no log and no error of the package may hold, and how to look for it. */
import { inspect } from 'node:util';
import { expect, inject } from 'vitest';

/** Is part of every payload that a test of secrets makes up. */
export const PAYLOAD_MARKER = 'payload-not-to-be-told';
/** Is part of every password that a test makes up. */
export const PASSWORD_MARKER = 'password-not-to-be-told';

/** The secrets of a run, given a connection string to its server. */
export function secretsOf(serverUrl: string): string[] {
  const { password } = new URL(serverUrl);
  const secrets = [PAYLOAD_MARKER, PASSWORD_MARKER];
  return password ? [...secrets, decodeURIComponent(password), password] : secrets;
}

/** All that whoever prints an error sees: its message, its stack, its properties and its causes. */
export function everythingIn(error: unknown): string {
  const shown = inspect(error, { depth: 10, showHidden: true, maxStringLength: null });
  const chain: string[] = [];
  for (let link = error; link instanceof Error; link = link.cause) {
    chain.push(link.message, String(link.stack), JSON.stringify(link));
  }
  return [shown, ...chain].join('\n');
}

/** Fails if an error tells a secret of this run. The failure does not repeat it. */
export function expectNoSecrets(error: unknown): void {
  const told = everythingIn(error);
  const found = secretsOf(inject('serverUrl')).filter((secret) => told.includes(secret));
  if (found.length > 0) expect.fail(`an error tells ${found.length} secrets`);
}
