/** Turns the argument of `initJobQueue` into settings that are complete and checked. */

import type { ConnectionSettings } from '../addon/native.js';
import { boolean, text } from '../checks/checks.js';
import { refuseConfig, setting } from '../checks/given.js';
import { kindOf } from '../checks/kind.js';
import { type Options, object, ownProperties, refuseUnknown } from '../checks/options.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { type Defaults, parseDefaults } from '../job/defaults.js';
import { givenOptions, isAbsent } from './absent.js';
import { type ResolvedDatabase, resolveDatabase } from './database.js';
import { DATABASE_OPTIONS } from './database-options.js';
import { type ParsedRetention, parseRetention } from './retention.js';
import type { JobQueueConfig } from './types.js';

/** The configuration of a queue, resolved. */
export interface ResolvedConfig extends ResolvedDatabase {
  schema: string;
  verbose: boolean;
  /** `null`: there are none. */
  defaults: Defaults | null;
  /** `null`: nothing is deleted. */
  retention: ParsedRetention | null;
}

const CONFIG_OPTIONS = Object.keys({
  databaseConfig: true,
  verbose: true,
  schema: true,
  pooler: true,
  defaults: true,
  retention: true,
} satisfies Record<keyof JobQueueConfig<unknown>, true>);

const MAX_SCHEMA_BYTES = 63;

/** Resolves the argument of `initJobQueue`. Throws `INVALID_CONFIG`. */
export function resolveConfig(
  config: unknown,
  env: NodeJS.ProcessEnv = process.env,
): ResolvedConfig {
  try {
    return resolve(config, env);
  } catch (error) {
    if (!(error instanceof JobQueueError)) throw error;
    refuseConfig(`initJobQueue: ${error.message}`);
  }
}

function resolve(config: unknown, env: NodeJS.ProcessEnv): ResolvedConfig {
  const given = setting('config', config);
  const options = ownProperties(object(given));
  refuseMisplaced(options);
  refuseUnknown(given, givenOptions(options), CONFIG_OPTIONS);
  if (options.databaseConfig === undefined || options.databaseConfig === null) {
    refuseConfig('databaseConfig is missing: it says how to connect to Postgres');
  }
  const fields = ownProperties(object(setting('databaseConfig', options.databaseConfig)));
  refuseMissingVariable(fields);
  return {
    ...resolveDatabase(fields, 'databaseConfig.connectionString', env, options.pooler),
    schema: resolveSchema(options.schema ?? 'public', 'schema'),
    verbose: boolean(setting('verbose', options.verbose ?? false)),
    defaults: parseDefaults(options.defaults),
    retention: parseRetention(options.retention),
  };
}

/** Resolves a connection string alone. Throws `INVALID_CONFIG`. */
export function resolveConnectionString(
  url: string,
  env: NodeJS.ProcessEnv = process.env,
  name = 'the connection string',
): ConnectionSettings {
  if (url.trim() === '') refuseConfig(`${name} is empty`);
  return resolveDatabase({ connectionString: url }, name, env).settings;
}

/** Checks the name of a schema. Messages call it `name`. */
export function resolveSchema(value: unknown, name: string): string {
  const schema = text(setting(name, value));
  if (schema === '$user' || schema.startsWith('pg_')) {
    refuseConfig(`${name} must not be $user or begin with pg_, which Postgres reserves`);
  }
  const bytes = Buffer.byteLength(schema);
  if (bytes >= 1 && bytes <= MAX_SCHEMA_BYTES) return schema;
  refuseConfig(`${name} must be 1 to ${MAX_SCHEMA_BYTES} bytes long, got ${bytes}`);
}

function refuseMisplaced(options: Options): void {
  const misplaced = givenOptions(options).find((option) => DATABASE_OPTIONS.includes(option));
  if (misplaced) refuseConfig(`config.${misplaced} belongs in databaseConfig`);
}

/** `connectionString: process.env.UNSET` must not become a connection to localhost. */
function refuseMissingVariable(fields: Options): void {
  if (!('connectionString' in fields) || fields.host) return;
  const { connectionString } = fields;
  const empty = typeof connectionString === 'string' && connectionString.trim() === '';
  if (!isAbsent(connectionString) && !empty) return;
  refuseConfig(
    `databaseConfig.connectionString is ${empty ? 'empty' : kindOf(connectionString)}: is the environment variable that it is read from missing?`,
  );
}
