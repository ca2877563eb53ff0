// Turns `databaseConfig` into what is needed to connect, with the meaning and the precedence of node-postgres:
// the connection string wins over the fields, the fields over the environment, the environment over defaults.

import { userInfo } from 'node:os';
import type { PoolConfig } from 'pg';
import { digits, INT4_MAX, integer, text } from '../checks/checks.js';
import { type Given, refuseConfig, refuseValue, setting } from '../checks/given.js';
import { type Options, refuseUnknown } from '../checks/options.js';
import { givenOptions, isAbsent } from './absent.js';
import { type ConnectionString, parseConnectionString } from './connection-string.js';
import { type Endpoint, passwordOfFile } from './password-file.js';
import { type Pooler, resolvePooler } from './pooler.js';
import {
  authorities,
  type Tls,
  type TlsMode,
  tlsOfEnvironment,
  tlsOfField,
  tlsOfParameters,
  toNodeTls,
} from './tls.js';
import type { DatabaseConfig } from './types.js';

/** What the native side connects with. Every field is present, and `null` where there is nothing. */
export interface ConnectionSettings {
  /** Host name, address without brackets, or the directory of a Unix socket, which begins with `/`. */
  host: string;
  port: number;
  user: string;
  database: string;
  /** `null`: none, or asked for by function. */
  password: string | null;
  tls: TlsMode;
  /** PEM text: certificate authorities, the client's certificate and its key. */
  ca: string | null;
  cert: string | null;
  key: string | null;
  applicationName: string | null;
  /** Command-line options for the server, as in `PGOPTIONS`. */
  options: string | null;
  pooler: Pooler;
  /** 0: as the server has it. */
  statementTimeoutMs: number;
  /** 0: no limit. */
  queryTimeoutMs: number;
  /** 0: no limit. */
  connectTimeoutMs: number;
  max: number;
  /** 0: never closed for being idle. */
  idleTimeoutMs: number;
  /** 0: never closed for its age. */
  maxLifetimeMs: number;
}

/** Gives the password for one new connection. */
export type AskPassword = () => string | Promise<string>;

/** The options of `databaseConfig`. */
export const DATABASE_OPTIONS = Object.keys({
  connectionString: true,
  host: true,
  port: true,
  database: true,
  user: true,
  password: true,
  ssl: true,
  max: true,
  idleTimeoutMillis: true,
  connectionTimeoutMillis: true,
  maxLifetimeSeconds: true,
  statement_timeout: true,
  query_timeout: true,
  lock_timeout: true,
  idle_in_transaction_session_timeout: true,
  options: true,
  application_name: true,
  fallback_application_name: true,
} satisfies Record<keyof DatabaseConfig, true>);

/**
 * Options of node-postgres that are not honoured here, each with the values that, beside `false` and
 * the like, ask for nothing but what happens anyway.
 */
const NOT_HONOURED: Readonly<Record<string, readonly unknown[]>> = {
  Client: [],
  Promise: [],
  allowExitOnIdle: [true],
  binary: [],
  client_encoding: ['utf8', 'UTF8', 'utf-8', 'UTF-8'],
  connection: [],
  enableChannelBinding: [],
  keepAlive: [],
  keepAliveInitialDelayMillis: [0],
  log: [],
  maxUses: [0, Number.POSITIVE_INFINITY],
  min: [0],
  onConnect: [],
  pipeline: [],
  poolSize: [],
  replication: ['false'],
  scramMaxIterations: [],
  sslnegotiation: ['postgres'],
  stream: [],
  types: [],
  verify: [],
};

const MAX_PORT = 65_535;
const MAX_CONNECTIONS = 10_000;
/** Longer than any statement here takes, and not as long as a network stack waits for a peer that is gone. */
const DEFAULT_QUERY_TIMEOUT = 300_000;

/** What `databaseConfig` resolves to. */
export interface ResolvedDatabase {
  settings: ConnectionSettings;
  /** The user's function, if the password is one. */
  askPassword: AskPassword | null;
  /** The same settings for node-postgres's `Pool`. */
  poolConfig: PoolConfig;
}

/** Resolves the fields of `databaseConfig`; `stringName` is what messages call its connection string. */
export function resolveDatabase(
  fields: Options,
  stringName: string,
  env: NodeJS.ProcessEnv,
  pooler?: unknown,
): ResolvedDatabase {
  const string = isAbsent(fields.connectionString)
    ? null
    : parseConnectionString(fields.connectionString, stringName);
  const find = finder(fields, string, stringName, env);
  refuseUnknown(
    setting('databaseConfig', fields),
    givenOptions(fields).filter((option) => !Object.hasOwn(NOT_HONOURED, option)),
    DATABASE_OPTIONS,
  );
  refuseNotHonoured(find);

  const endpoint = resolveEndpoint(find, env);
  const tls = resolveTls(fields, string, stringName, env);
  if (tls.mode !== 'disable' && endpoint.host.startsWith('/')) {
    refuseConfig('TLS is asked for, but host is a Unix socket, where Postgres offers none');
  }
  const password = resolvePassword(find, endpoint, env);
  const settings: ConnectionSettings = {
    ...endpoint,
    password: typeof password === 'function' ? null : password,
    tls: tls.mode,
    ca: authorities(tls, env),
    cert: tls.cert,
    key: tls.key,
    ...resolveSession(find),
    ...resolvePool(fields),
    pooler: resolvePooler(pooler, { ...endpoint, parameters: string?.parameters ?? {} }),
  };
  if (settings.pooler === 'transaction' && settings.options !== null) {
    refuseConfig(
      'options, lock_timeout and idle_in_transaction_session_timeout belong to a session, which a pooler ' +
        "in transaction mode does not keep: leave them out, or say pooler: 'none' if there is no such pooler",
    );
  }
  return {
    settings,
    askPassword: typeof password === 'function' ? password : null,
    poolConfig: toPoolConfig(settings, password, tls),
  };
}

/** Finds a setting by its precedence; `null` if nobody gave it. */
type Find = (key: string, variable?: string) => Given | null;

function finder(
  fields: Options,
  string: ConnectionString | null,
  stringName: string,
  env: NodeJS.ProcessEnv,
): Find {
  return (key, variable) => {
    const given =
      string && Object.hasOwn(string.settings, key)
        ? setting(`${key} in ${stringName}`, string.settings[key])
        : setting(`databaseConfig.${key}`, fields[key]);
    if (!isAbsent(given.value)) return given;
    return variable && env[variable] ? setting(variable, env[variable]) : null;
  };
}

function refuseNotHonoured(find: Find): void {
  for (const [option, harmless] of Object.entries(NOT_HONOURED)) {
    const given = find(option, option === 'sslnegotiation' ? 'PGSSLNEGOTIATION' : undefined);
    if (given === null || harmless.includes(given.value)) continue;
    refuseConfig(`${given.name} is an option of node-postgres that cannot be honoured here`);
  }
}

function resolveEndpoint(find: Find, env: NodeJS.ProcessEnv): Endpoint {
  const host = find('host', 'PGHOST');
  const port = find('port', 'PGPORT');
  const given = find('user', 'PGUSER');
  const user = given ? text(given) : systemUser(env);
  if (!user) refuseConfig('databaseConfig.user is missing, and the system user has no name');
  const database = find('database', 'PGDATABASE');
  return {
    host: host ? withoutBrackets(text(host)) : 'localhost',
    port: port ? digits(port, 1, MAX_PORT) : 5432,
    user,
    database: database ? text(database) : user,
  };
}

/** `[::1]` is how an address is written in a URL, not what it is called. */
function withoutBrackets(host: string): string {
  return host.replace(/^\[(.+)\]$/, '$1');
}

/** In many containers no variable names the user. */
function systemUser(env: NodeJS.ProcessEnv): string | null {
  const name = process.platform === 'win32' ? env.USERNAME : env.USER;
  if (name) return name;
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

function resolvePassword(
  find: Find,
  endpoint: Endpoint,
  env: NodeJS.ProcessEnv,
): string | AskPassword | null {
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
  // Read even where the connection string wins, so that an option that cannot be honoured is still refused.
  const ofField = fields.ssl === undefined || fields.ssl === null ? null : tlsOfField(field);
  return (
    (string && tlsOfParameters(string.parameters, stringName)) ?? ofField ?? tlsOfEnvironment(env)
  );
}

function resolveSession(find: Find) {
  const milliseconds = (key: string) => {
    const given = find(key);
    return given ? digits(given, 0, INT4_MAX) : 0;
  };
  const name = find('application_name', 'PGAPPNAME') ?? find('fallback_application_name');
  const options = find('options', 'PGOPTIONS');
  const limits = ['lock_timeout', 'idle_in_transaction_session_timeout']
    .map((limit) => ({ limit, ms: milliseconds(limit) }))
    .flatMap(({ limit, ms }) => (ms === 0 ? [] : [`-c ${limit}=${ms}`]));
  return {
    applicationName: name ? text(name) : null,
    options: [...(options ? [text(options)] : []), ...limits].join(' ') || null,
    statementTimeoutMs: milliseconds('statement_timeout'),
    queryTimeoutMs: find('query_timeout') ? milliseconds('query_timeout') : DEFAULT_QUERY_TIMEOUT,
  };
}

/** Of these, node-postgres's `Pool` takes none from the connection string or the environment. */
function resolvePool(fields: Options) {
  const found = (key: string, min: number, max: number, otherwise: number) =>
    integer(setting(`databaseConfig.${key}`, fields[key] ?? otherwise), min, max);
  return {
    connectTimeoutMs: found('connectionTimeoutMillis', 0, INT4_MAX, 0),
    max: found('max', 1, MAX_CONNECTIONS, 10),
    idleTimeoutMs: found('idleTimeoutMillis', 0, INT4_MAX, 10_000),
    maxLifetimeMs: 1000 * found('maxLifetimeSeconds', 0, Math.floor(INT4_MAX / 1000), 0),
  };
}

/** Fields only, so that nothing is left to be found or read differently by node-postgres. */
function toPoolConfig(
  settings: ConnectionSettings,
  password: string | AskPassword | null,
  tls: Tls,
): PoolConfig {
  return {
    host: settings.host,
    port: settings.port,
    user: settings.user,
    database: settings.database,
    password: password ?? undefined,
    ssl: toNodeTls(tls),
    application_name: settings.applicationName ?? undefined,
    options: settings.options ?? undefined,
    statement_timeout: settings.statementTimeoutMs || false,
    // Our own default is for our own statements.
    query_timeout:
      settings.queryTimeoutMs === DEFAULT_QUERY_TIMEOUT ? undefined : settings.queryTimeoutMs,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    max: settings.max,
    idleTimeoutMillis: settings.idleTimeoutMs,
    maxLifetimeSeconds: settings.maxLifetimeMs / 1000,
  };
}
