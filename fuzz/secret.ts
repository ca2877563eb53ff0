/** What seeds have where a password is; no message may repeat it. */
export const SECRET = 'hunter2';

export function expectUntold(message: string): void {
  if (message.includes(SECRET)) throw new Error(`a secret is told: ${message}`);
}
