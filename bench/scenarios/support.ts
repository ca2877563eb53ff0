/** What the package cannot do yet is skipped, with a note, until it can. */
import { initJobQueue } from 'pg-bg-job-queue';
import type { AnyProcessorOptions } from '../peers/pg-bg-job-queue.js';

/** Opens no connection. */
const open = () => initJobQueue({ databaseConfig: { host: 'localhost' } });

export async function lacksRemoveOnComplete(): Promise<string | undefined> {
  const options: AnyProcessorOptions = { removeOnComplete: true };
  try {
    (await open()).createProcessor({}, options);
    return undefined;
  } catch (error) {
    return `createProcessor has no removeOnComplete yet: ${(error as Error).message}`;
  }
}

export async function lacksAddJobs(): Promise<string | undefined> {
  return 'addJobs' in (await open()) ? undefined : 'the package has no addJobs yet';
}
