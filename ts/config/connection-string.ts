/**
 * Reads a connection string as node-postgres does. Refuses parts that node-postgres would misread or drop silently, if
 * that could lead to another database, to less protection, or to a password in a log.
 */

import { string } from '../checks/checks.js';
import { refuseConfig, setting } from '../checks/given.js';
import { ownProperties } from '../checks/options.js';
import { suggest } from '../checks/spelling.js';
import { STRING_OPTIONS } from './database-options.js';
import { REFUSED_IN_STRING } from './not-honoured.js';

/** The contents of a connection string. */
export interface ConnectionString {
  /**
   * Settings, under the names of the fields of `databaseConfig`. A setting that is present wins over its field even
   * if it is empty: `postgresql://localhost/app` with a field `user` does not connect as that user.
   */
  readonly settings: Readonly<Record<string, string>>;
  /** All parameters behind the question mark: TLS and the pooler have some of their own. */
  readonly parameters: Readonly<Record<string, string>>;
}

/**
 * The parameters that are settings. All others have no effect, as in node-postgres: poolers and other libraries add
 * `pgbouncer`, `connection_limit`, `channel_binding`, `connect_timeout`, `schema`.
 */
const SETTINGS: readonly string[] = [...STRING_OPTIONS, ...REFUSED_IN_STRING];

const TLS_PARAMETERS = [
  'ssl',
  'sslmode',
  'sslcert',
  'sslkey',
  'sslrootcert',
  'sslnegotiation',
  'uselibpqcompat',
];

/** Stands in for a host that is missing beside a user: a connection string may leave it out, a URL may not. */
const NO_HOST = 'no-host.invalid';

/** Reads a connection string. Messages call it `name`, and never hold the string itself. */
export function parseConnectionString(value: unknown, name: string): ConnectionString {
  const text = string(setting(name, value)).trim();
  if (text.startsWith('/')) return readSocketPath(text);
  const url = parseUrl(text);
  if (url === null) refuseMalformed(name);
  refuseMisplacedPassword(url, name);
  const parsed = url.protocol === 'socket:' ? readSocketUrl(url, name) : readUrl(url, name);
  refuseIgnoredDatabase(parsed, name);
  refuseUnknownTls(parsed, name);
  return parsed;
}

/** `/directory database` */
function readSocketPath(text: string): ConnectionString {
  const [host = '', database = ''] = text.split(' ');
  return { settings: { host, database }, parameters: {} };
}

/** `socket:/directory?db=database` */
function readSocketUrl(url: URL, name: string): ConnectionString {
  const parameters = parametersOf(url);
  const settings = {
    ...settingsOf(url, parameters, name),
    host: decode(url.pathname, decodeURI, name),
    // If there are two, node-postgres takes the first, here and nowhere else.
    database: url.searchParams.get('db') ?? '',
  };
  return { settings, parameters };
}

/** `postgresql://user:password@host:port/database` */
function readUrl(url: URL, name: string): ConnectionString {
  const parameters = parametersOf(url);
  const hostname = url.hostname === NO_HOST ? '' : url.hostname;
  if (parameters.host && /^%2f/i.test(hostname)) {
    // node-postgres would take the directory for a part of the database's name.
    refuseConfig(`${name} names a directory and a host: leave one of them out`);
  }
  const settings = {
    ...settingsOf(url, parameters, name),
    host: parameters.host || decode(hostname, decodeURIComponent, name),
    port: parameters.port || url.port,
    // Not decodeURIComponent: to node-postgres, %2F and its like in a database's name are those characters.
    database: decode(url.pathname.slice(1), decodeURI, name),
  };
  return { settings, parameters };
}

function settingsOf(url: URL, parameters: Record<string, string>, name: string) {
  return {
    ...Object.fromEntries(Object.entries(parameters).filter(([key]) => SETTINGS.includes(key))),
    user: parameters.user || decode(url.username, decodeURIComponent, name),
    password: parameters.password || decode(url.password, decodeURIComponent, name),
  };
}

function parametersOf(url: URL): Record<string, string> {
  return ownProperties(Object.fromEntries(url.searchParams));
}

function decode(text: string, decoder: (text: string) => string, name: string): string {
  try {
    return decoder(text);
  } catch {
    refuseMalformed(name);
  }
}

function parseUrl(text: string): URL | null {
  if (!/^(?:(?:postgres|postgresql|pg):\/\/|socket:\/)/i.test(text)) return null;
  try {
    const encoded = encodeStray(text);
    if (URL.canParse(encoded)) return new URL(encoded);
    return new URL(encoded.replace('@/', `@${NO_HOST}/`));
  } catch {
    return null;
  }
}

/**
 * Encodes spaces, and percent signs that encode nothing. node-postgres takes one of them as a sign that the whole
 * string is not encoded, and then believes only encodings of two digits (`%20`). It does not see a percent sign at
 * the very end, and a string with one cannot be decoded.
 */
function encodeStray(text: string): string {
  if (!/ |%(?:[^0-9a-f]|[0-9a-f][^0-9a-f])/i.test(text)) return text;
  return encodeURI(text).replace(/%25(\d\d)/g, '%$1');
}

/**
 * In `postgresql://me:12#3@host/app` the password ends the address early, and parts of it would be taken for
 * the port and the database and be named in messages.
 */
function refuseMisplacedPassword(url: URL, name: string): void {
  const anonymous = url.username === '' && url.password === '';
  const behind = url.pathname + (url.searchParams.has('user') ? '' : url.search);
  if (url.hash !== '' || (anonymous && behind.includes('@'))) refuseMalformed(name);
}

/** node-postgres takes the database from the path only. Ignoring the parameter would be another database. */
function refuseIgnoredDatabase({ settings, parameters }: ConnectionString, name: string): void {
  for (const key of ['database', 'dbname', 'db']) {
    if (!parameters[key] || parameters[key] === settings.database) continue;
    refuseConfig(
      `${name} names a database in its parameter ${key}, where node-postgres does not look: put it in the path, as in postgresql://host/database`,
    );
  }
}

/** A misspelled or unsupported parameter of TLS would otherwise leave less protection than was asked for. */
function refuseUnknownTls({ parameters }: ConnectionString, name: string): void {
  for (const key of Object.keys(parameters)) {
    if (!/^(?:ssl|tls|uselibpq)/i.test(key) || TLS_PARAMETERS.includes(key)) continue;
    const shown = /^\w{1,40}$/.test(key) ? ` ${key}` : '';
    refuseConfig(
      `${name} has a parameter${shown} that cannot be honoured${suggest(key, TLS_PARAMETERS)}`,
    );
  }
}

function refuseMalformed(name: string): never {
  refuseConfig(
    `${name} is not a valid connection string: write postgresql://user:password@host:port/database, ` +
      'with characters such as # % / ? @ in the user and the password percent-encoded',
  );
}
