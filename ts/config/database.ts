/**
 * Turns `databaseConfig` into the settings of a connection, with the meaning and the precedence of node-postgres: the
 * connection string wins over the fields, the fields over the environment, the environment over defaults.
 */

import type { PoolConfig } from 'pg';
import type { ConnectionSettings } from '../addon/native.js';
import { digits, INT4_MAX, text } from '../checks/checks.js';
import { refuseConfig, refuseValue, setting } from '../checks/given.js';
import { type Options, refuseUnknown } from '../checks/options.js';
import { givenOptions, isAbsent } from './absent.js';
import { type ConnectionString, parseConnectionString } from './connection-string.js';
import {
  DATABASE_OPTIONS,
  type Find,
  readSettings,
  type Sources,
  toPoolOptions,
} from './database-options.js';
import { isNotHonoured, refuseNotHonoured } from './not-honoured.js';
import { type Endpoint, passwordOfFile } from './password-file.js';
import { resolvePooler } from './pooler.js';
import {
  authorities,
  type Tls,
  tlsOfEnvironment,
  tlsOfField,
  tlsOfParameters,
  toNodeTls,
} from './tls.js';
import type { DatabaseConfig } from './types.js';

/** Gives the password for one new connection. */
export type AskPassword = () => string | Promise<string>;

/** `databaseConfig`, resolved. */
export interface ResolvedDatabase {
  settings: ConnectionSettings;
  /** The user's function, if the password is one. */
  askPassword: AskPassword | null;
  /** The same settings for node-postgres's `Pool`. */
  poolConfig: PoolConfig;
}

/** Resolves the fields of `databaseConfig`; messages call its connection string `stringName`. */
export function resolveDatabase(
  fields: Options,
  stringName: string,
  env: NodeJS.ProcessEnv,
  pooler?: unknown,
): ResolvedDatabase {
  const string = isAbsent(fields.connectionString)
    ? null
    : parseConnectionString(fields.connectionString, stringName);
  const sources = { fields, find: finder(fields, string, stringName, env), env };
  refuseUnknown(
    setting('databaseConfig', fields),
    givenOptions(fields).filter((option) => !isNotHonoured(option)),
    DATABASE_OPTIONS,
  );
  refuseNotHonoured(sources.find);

  const read = readSettings(sources);
  const tls = resolveTls(fields, string, stringName, env);
  if (tls.mode !== 'disable' && read.host.startsWith('/')) {
    refuseConfig('TLS is asked for, but host is a Unix socket, where Postgres offers no TLS');
  }
  const password = resolvePassword(sources, read);
  const settings: ConnectionSettings = {
    ...read,
    options: [read.options, ...sessionLimits(sources.find)].filter(Boolean).join(' ') || null,
    // `null`: there is no password, or the user's function gives it.
    password: typeof password === 'function' ? null : password,
    tls: tls.mode,
    // PEM text, or `null` for none.
    ca: authorities(tls, env),
    cert: tls.cert,
    key: tls.key,
    pooler: resolvePooler(pooler, { ...read, parameters: string?.parameters ?? {} }),
  };
  if (settings.pooler === 'transaction' && settings.options !== null) {
    refuseConfig(
      'options, lock_timeout and idle_in_transaction_session_timeout belong to a session, which a pooler ' +
        "in transaction mode does not keep: leave them out, or use pooler: 'none' if there is no pooler of that mode",
    );
  }
  return {
    settings,
    askPassword: typeof password === 'function' ? password : null,
    // Fields only, so that node-postgres has nothing left to look for or to read differently.
    poolConfig: {
      ...toPoolOptions(settings),
      password: password ?? undefined,
      ssl: toNodeTls(tls),
    },
  };
}

function finder(
  fields: Options,
  string: ConnectionString | null,
  stringName: string,
  env: NodeJS.ProcessEnv,
): Find {
  return (option, variable) => {
    const given =
      string && Object.hasOwn(string.settings, option)
        ? setting(`${option} in ${stringName}`, string.settings[option])
        : setting(`databaseConfig.${option}`, fields[option]);
    if (!isAbsent(given.value)) return given;
    return variable && env[variable] ? setting(variable, env[variable]) : null;
  };
}

function resolvePassword({ find, env }: Sources, endpoint: Endpoint): string | AskPassword | null {
  const given = find('password', 'PGPASSWORD');
  if (given === null) return passwordOfFile(endpoint, env);
  if (typeof given.value === 'function') return given.value as AskPassword;
  if (typeof given.value === 'string') return text(given);
  refuseValue(given, 'a string or a function');
}

function resolveTls(
  fields: Options,
  string: ConnectionString | null,
  stringName: string,
  env: NodeJS.ProcessEnv,
): Tls {
  const field = setting('databaseConfig.ssl', fields.ssl);
  // Read even if the connection string wins, so that an option that cannot be honoured is still refused.
  const ofField = fields.ssl === undefined || fields.ssl === null ? null : tlsOfField(field);
  return (
    (string && tlsOfParameters(string.parameters, stringName)) ?? ofField ?? tlsOfEnvironment(env)
  );
}

const SESSION_LIMITS = [
  'lock_timeout',
  'idle_in_transaction_session_timeout',
] as const satisfies readonly (keyof DatabaseConfig)[];

/** The limits of a session, as command-line options of the server: the addon has no settings for them. */
function sessionLimits(find: Find): string[] {
  return SESSION_LIMITS.flatMap((limit) => {
    const given = find(limit);
    const ms = given ? digits(given, 0, INT4_MAX) : 0;
    return ms === 0 ? [] : [`-c ${limit}=${ms}`];
  });
}
