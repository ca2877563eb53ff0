/** Finds the database that a command is to work on. */

import type { ConnectionSettings } from '../addon/native.js';
import { resolveConnectionString } from '../config/config.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { type Target, UsageError } from './arguments.js';
import { readEnvFile } from './env-file.js';

/** The variable that holds the connection string. */
export const VARIABLE = 'PG_BG_JOB_QUEUE_DATABASE';

/** The variable that other tools read, for when `VARIABLE` is missing. */
export const FALLBACK = 'DATABASE_URL';

export interface ResolvedTarget {
  readonly settings: ConnectionSettings;
  /** The source of the connection string: `--database`, or the name of a variable. */
  readonly source: string;
}

/**
 * The database of `--database`, else of `VARIABLE`, else of `FALLBACK`. A variable is looked for in the
 * environment, then in the file of `--env-file`. Throws `UsageError`.
 */
export function resolveTarget(target: Target, env: NodeJS.ProcessEnv): ResolvedTarget {
  const merged = target.envFile === undefined ? env : readEnvFile(target.envFile, env);
  const variable = [VARIABLE, FALLBACK].find((name) => merged[name]?.trim());
  const url = target.database ?? merged[variable ?? VARIABLE];
  if (!url?.trim()) throw new UsageError(missing(target));
  const source = target.database === undefined ? (variable ?? VARIABLE) : '--database';
  try {
    return { settings: resolveConnectionString(url, merged, source), source };
  } catch (error) {
    throw error instanceof JobQueueError ? new UsageError(error.message) : error;
  }
}

function missing({ database, envFile }: Target): string {
  if (database !== undefined) {
    return '--database is empty: is the variable that it is taken from set?';
  }
  if (envFile !== undefined) {
    return `neither ${VARIABLE} nor ${FALLBACK} is set in the environment or in ${envFile}`;
  }
  return `${VARIABLE} is not set: set it to your Postgres connection string, or use ${FALLBACK}, --database or --env-file`;
}
