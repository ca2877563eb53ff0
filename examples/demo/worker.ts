/** A worker: a process that runs jobs in the background until it is told to stop. */
import { createHandlers } from './handlers.js';
import { type Address, discard, openQueue } from './place.js';

export type Order = 'start' | 'stop';

/** In the environment, not in the arguments: those any user of the machine can read. */
export const workerVariable = 'PG_BG_JOB_QUEUE_DEMO_WORKER';

export interface Assignment {
  workerId: string;
  concurrency: number;
  pollInterval: number;
  address: Address;
}

async function work({ workerId, concurrency, pollInterval, address }: Assignment): Promise<void> {
  const queue = await openQueue(address);
  const processor = queue.createProcessor(createHandlers(address.folder), {
    workerId,
    concurrency,
    pollInterval,
    // Those that watch see it in the counts.
    onJobFailed: () => {},
  });

  // The demo was killed and could not clean up. Nobody reads what is said of that.
  process.stderr.on('error', () => {});
  const orphaned = async () => {
    await processor.stopAndDrain(1_000).catch(() => {});
    await discard(address).catch(() => {});
    process.exit(1);
  };
  process.on('disconnect', orphaned);
  process.on('message', async (order: Order) => {
    if (order === 'start') return processor.startInBackground();
    await queue.close();
    process.off('disconnect', orphaned);
    process.disconnect();
  });
  if (!process.connected) return orphaned();
  process.send?.('ready');
}

if (require.main === module) void work(JSON.parse(process.env[workerVariable] ?? ''));
