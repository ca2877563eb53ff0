/**
 * The options of `databaseConfig`, each once. A new one that becomes a setting of the connection needs a row of
 * `SETTINGS`, beside its description in `types.ts`: from the row come its name in the connection string, its check, its
 * default, and its value for node-postgres.
 */

import { userInfo } from 'node:os';
import type { PoolConfig } from 'pg';
import type { ConnectionSettings } from '../addon/native.js';
import { digits, INT4_MAX, integer, text } from '../checks/checks.js';
import { type Given, refuseConfig, setting } from '../checks/given.js';
import type { Options } from '../checks/options.js';
import type { DatabaseConfig } from './types.js';

/** Finds the value of an option, by the precedence of node-postgres; `null` if there is none. */
export type Find = (option: string, variable?: string | null) => Given | null;

/** The sources of the settings. */
export interface Sources {
  /** The fields of `databaseConfig`. */
  fields: Options;
  /** Looks into the connection string, then the fields, then the environment. */
  find: Find;
  env: NodeJS.ProcessEnv;
}

/** An option that becomes one setting of the connection. */
interface Row<Setting extends keyof ConnectionSettings> {
  /** Its name for the addon. */
  setting: Setting;
  /** Whether a connection string may hold it. node-postgres's `Pool` reads its own options from the fields alone. */
  inString: boolean;
  /** The environment variable that may hold it. */
  variable: string | null;
  /** Checks a value, and gives the setting. */
  check(given: Given): ConnectionSettings[Setting];
  /** Gives the setting if there is no value; `above` holds the settings of the rows above. */
  otherwise(sources: Sources, above: Partial<ConnectionSettings>): ConnectionSettings[Setting];
  /** Gives the value of node-postgres's option of the same name. */
  toPool(value: ConnectionSettings[Setting]): unknown;
}

type AnyRow = { [Setting in keyof ConnectionSettings]: Row<Setting> }[keyof ConnectionSettings];

/** Options that are no row; whether a connection string may hold them. `database.ts` handles them. */
const OTHERS = {
  connectionString: false,
  ssl: false,
  password: true,
  fallback_application_name: true,
  lock_timeout: true,
  idle_in_transaction_session_timeout: true,
} satisfies { [Option in keyof DatabaseConfig]?: boolean };

const MAX_PORT = 65_535;
const MAX_CONNECTIONS = 10_000;
const MAX_SECONDS = Math.floor(INT4_MAX / 1000);
/** Longer than any statement here takes, and shorter than a network stack waits for a peer that is gone. */
const DEFAULT_QUERY_TIMEOUT = 300_000;

const milliseconds = (given: Given) => digits(given, 0, INT4_MAX);
const wholeMilliseconds = (given: Given) => integer(given, 0, INT4_MAX);
const same = (value: string | number | null) => value ?? undefined;

const SETTINGS = {
  /** Host name, address without brackets, or the directory of a Unix socket, which begins with `/`. */
  host: {
    setting: 'host',
    inString: true,
    variable: 'PGHOST',
    check: (given) => withoutBrackets(text(given)),
    otherwise: () => 'localhost',
    toPool: same,
  },
  port: {
    setting: 'port',
    inString: true,
    variable: 'PGPORT',
    check: (given) => digits(given, 1, MAX_PORT),
    otherwise: () => 5432,
    toPool: same,
  },
  user: {
    setting: 'user',
    inString: true,
    variable: 'PGUSER',
    check: text,
    otherwise: ({ env }) => systemUser(env),
    toPool: same,
  },
  database: {
    setting: 'database',
    inString: true,
    variable: 'PGDATABASE',
    check: text,
    otherwise: (_, { user }) => user as string,
    toPool: same,
  },
  /** `null`: the server shows none. */
  application_name: {
    setting: 'applicationName',
    inString: true,
    variable: 'PGAPPNAME',
    check: text,
    otherwise: ({ find }) => {
      const fallback = find('fallback_application_name');
      return fallback && text(fallback);
    },
    toPool: same,
  },
  /** Command-line options for the server; `null`: none. `database.ts` adds the limits of the session. */
  options: {
    setting: 'options',
    inString: true,
    variable: 'PGOPTIONS',
    check: text,
    otherwise: () => null,
    toPool: same,
  },
  /** 0: as the server has it. */
  statement_timeout: {
    setting: 'statementTimeoutMs',
    inString: true,
    variable: null,
    check: milliseconds,
    otherwise: () => 0,
    toPool: (ms) => ms || false,
  },
  /** 0: no limit. */
  query_timeout: {
    setting: 'queryTimeoutMs',
    inString: true,
    variable: null,
    check: milliseconds,
    otherwise: () => DEFAULT_QUERY_TIMEOUT,
    // The default is for the statements of this package.
    toPool: (ms) => (ms === DEFAULT_QUERY_TIMEOUT ? undefined : ms),
  },
  /** 0: no limit. */
  connectionTimeoutMillis: {
    setting: 'connectTimeoutMs',
    inString: false,
    variable: null,
    check: wholeMilliseconds,
    otherwise: () => 0,
    toPool: same,
  },
  max: {
    setting: 'max',
    inString: false,
    variable: null,
    check: (given) => integer(given, 1, MAX_CONNECTIONS),
    otherwise: () => 10,
    toPool: same,
  },
  /** 0: never closed for being idle. */
  idleTimeoutMillis: {
    setting: 'idleTimeoutMs',
    inString: false,
    variable: null,
    check: wholeMilliseconds,
    otherwise: () => 10_000,
    toPool: same,
  },
  /** 0: never closed for its age. */
  maxLifetimeSeconds: {
    setting: 'maxLifetimeMs',
    inString: false,
    variable: null,
    check: (given) => 1000 * integer(given, 0, MAX_SECONDS),
    otherwise: () => 0,
    toPool: (ms) => ms / 1000,
  },
} satisfies { [Option in Exclude<keyof DatabaseConfig, keyof typeof OTHERS>]: AnyRow };

const ROWS: [option: string, row: Row<keyof ConnectionSettings>][] = Object.entries(SETTINGS);

/** The names of all options. */
export const DATABASE_OPTIONS = [...Object.keys(SETTINGS), ...Object.keys(OTHERS)];

/** The names of those that a connection string may hold. */
export const STRING_OPTIONS = [
  ...ROWS.filter(([, { inString }]) => inString).map(([option]) => option),
  ...Object.entries(OTHERS)
    .filter(([, inString]) => inString)
    .map(([option]) => option),
];

/** The settings that have a row. */
export type OptionSettings = Pick<
  ConnectionSettings,
  (typeof SETTINGS)[keyof typeof SETTINGS]['setting']
>;

/** Reads every setting that has a row. */
export function readSettings(sources: Sources): OptionSettings {
  const settings: Partial<ConnectionSettings> = {};
  for (const [option, row] of ROWS) {
    const given = row.inString ? sources.find(option, row.variable) : field(sources, option);
    const value = given === null ? row.otherwise(sources, settings) : row.check(given);
    Object.assign(settings, { [row.setting]: value });
  }
  return settings as OptionSettings;
}

/** An option that is read from the field alone. `''` and `false` are refused here; elsewhere they count as absent. */
function field({ fields }: Sources, option: string): Given | null {
  const value = fields[option] ?? null;
  return value === null ? null : setting(`databaseConfig.${option}`, value);
}

/** The same settings as options of node-postgres. */
export function toPoolOptions(settings: ConnectionSettings): PoolConfig {
  return Object.fromEntries(
    ROWS.map(([option, row]) => [option, row.toPool(settings[row.setting])]),
  );
}

/** An address has brackets in a URL (`[::1]`), and none elsewhere. */
function withoutBrackets(host: string): string {
  return host.replace(/^\[(.+)\]$/, '$1');
}

function systemUser(env: NodeJS.ProcessEnv): string {
  const name = process.platform === 'win32' ? env.USERNAME : env.USER;
  return (
    name ||
    accountName() ||
    refuseConfig('databaseConfig.user is missing, and the system user has no name')
  );
}

/** In many containers no variable names the user. */
function accountName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}
