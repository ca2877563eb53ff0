// Finds the database that a command is to work on.

import { type ConnectionSettings, resolveConnectionString } from '../config.js';
import { JobQueueError } from '../errors.js';
import { type Target, UsageError } from './arguments.js';
import { readEnvFile } from './env-file.js';

/** The variable that holds the connection string. */
export const VARIABLE = 'PG_BG_JOB_QUEUE_DATABASE';

/**
 * The database of `--database`, else of the variable, else of the variable in the file of `--env-file`.
 * Throws `UsageError`.
 */
export function resolveTarget(target: Target, env: NodeJS.ProcessEnv): ConnectionSettings {
  const merged = target.envFile === undefined ? env : readEnvFile(target.envFile, env);
  const name = target.database === undefined ? VARIABLE : '--database';
  const url = target.database ?? merged[VARIABLE];
  if (!url?.trim()) throw new UsageError(missing(target));
  try {
    return resolveConnectionString(url, merged, name);
  } catch (error) {
    throw error instanceof JobQueueError ? new UsageError(error.message) : error;
  }
}

function missing({ database, envFile }: Target): string {
  if (database !== undefined) {
    return '--database is empty: is the variable that it is taken from set?';
  }
  if (envFile !== undefined) {
    return `${VARIABLE} is set neither in the environment nor in ${envFile}`;
  }
  return `${VARIABLE} is not set: set it to your Postgres connection string, or use --database or --env-file`;
}
