/**
 * `npm run demo`: the queue at work, on a Postgres server of its own or on the one that
 * PG_BG_JOB_QUEUE_DATABASE names. Leaves nothing behind, and ends with code 0 only if every job did
 * what it should.
 */
import { ensureBuilt } from './build.js';
import { Display } from './display.js';
import { die, Interruption } from './interruption.js';

async function main(): Promise<void> {
  const interruption = new Interruption();
  const { signal } = interruption;
  const display = new Display();
  signal.addEventListener('abort', () => {
    display.endProgress();
    display.say('Stopping, and cleaning up ...');
  });
  try {
    await ensureBuilt(display, signal);
    // Not before: it imports the package.
    const { tellStory } = await import('./story.js');
    if (!(await tellStory(display, signal))) process.exitCode = 1;
  } catch (error) {
    if (interruption.by) return die(interruption.by);
    const cause = signal.reason ?? error;
    display.say(`The demo failed. ${cause instanceof Error ? cause.message : cause}`, 'red');
    process.exitCode = 1;
  }
}

void main();
