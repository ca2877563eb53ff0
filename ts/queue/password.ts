/** Asks the user's password function on behalf of the native queue. */

import type { NativeQueue } from '../addon/native.js';
import type { AskPassword } from '../config/database.js';

/** The native queue, once it exists. */
export interface OwnQueue {
  queue?: WeakRef<NativeQueue>;
}

/**
 * Makes the function that the native queue calls, with the number of its question, when it needs a password. The native
 * queue keeps this function alive, so the function must not keep the native queue alive.
 */
export function answering(ask: AskPassword, own: OwnQueue): (question: number) => void {
  const answer = async (question: number) => {
    const password = await askedPassword(ask);
    own.queue?.deref()?.answerPassword(question, password);
  };
  return (question) => void answer(question);
}

/** Calls the user's function. Gives `null` if it throws, or gives something that is no string. */
async function askedPassword(ask: AskPassword): Promise<string | null> {
  try {
    const password: unknown = await ask();
    return typeof password === 'string' ? password : null;
  } catch {
    // The error may hold the secret. The call that waits for a connection says that the function failed.
    return null;
  }
}
