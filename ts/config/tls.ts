/**
 * Decides which TLS a connection gets, with node-postgres's meaning of every option. If the meaning is in doubt, the
 * answer is an error, and never a connection that is protected less than the user asked for.
 */

import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { ConnectionSettings } from '../addon/native.js';
import { crypto, tls as nodeTls } from '../basics/lazy.js';
import { boolean } from '../checks/checks.js';
import { type Given, refuseConfig, refuseValue, setting } from '../checks/given.js';
import { type Options, ownProperties } from '../checks/options.js';
import { suggest } from '../checks/spelling.js';
import { givenOptions } from './absent.js';

/**
 * `encrypt` verifies nothing. `verify-ca` verifies that an authority signed the certificate, `verify-full` also that it
 * was issued to the host.
 */
export type TlsMode = ConnectionSettings['tls'];

/** PEM text, or `null` for none. */
export interface Tls {
  readonly mode: TlsMode;
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

function plain(mode: TlsMode): Tls {
  return { mode, ca: null, cert: null, key: null };
}

/** The meaning of `ssl`, given as one word. */
const WORDS: Readonly<Record<string, TlsMode>> = {
  true: 'verify-full',
  1: 'verify-full',
  'no-verify': 'encrypt',
  false: 'disable',
  0: 'disable',
};

/** The meaning of `PGSSLMODE`. node-postgres cannot try TLS and give it up, as libpq does for `allow`. */
const ENVIRONMENT_MODES: Readonly<Record<string, TlsMode>> = {
  disable: 'disable',
  allow: 'disable',
  prefer: 'verify-full',
  require: 'verify-full',
  'verify-ca': 'verify-full',
  'verify-full': 'verify-full',
  'no-verify': 'encrypt',
};

/** The meaning of `sslmode` in a connection string: all but two are verified TLS. */
const STRING_MODES: Readonly<Record<string, TlsMode>> = {
  ...ENVIRONMENT_MODES,
  allow: 'verify-full',
};

/** The same with `uselibpqcompat=true`. As in node-postgres, a word that libpq does not know is verified TLS. */
const LIBPQ_MODES: Readonly<Record<string, TlsMode>> = {
  ...STRING_MODES,
  prefer: 'encrypt',
  require: 'encrypt',
  'verify-ca': 'verify-ca',
  'no-verify': 'verify-full',
};

const FIELD_OPTIONS = ['rejectUnauthorized', 'ca', 'cert', 'key'];

/** The names of these options in a connection string. */
const PARAMETERS = { ca: 'sslrootcert', cert: 'sslcert', key: 'sslkey' } as const;

type Pem = keyof typeof PARAMETERS;

/** The field `databaseConfig.ssl`. */
export function tlsOfField(given: Given): Tls {
  const { value, name } = given;
  if (typeof value === 'boolean') return plain(value ? 'verify-full' : 'disable');
  if (typeof value === 'string' && Object.hasOwn(WORDS, value)) return tlsOfWord(value, name);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuseValue(given, 'true, false or an object');
  }
  const options = ownProperties(value);
  refuseOtherOptions(options, name);
  const pem = (key: Pem) => {
    const text = options[key];
    return text === undefined || text === null ? null : pemText(setting(`${name}.${key}`, text));
  };
  const verifies = boolean(
    setting(`${name}.rejectUnauthorized`, options.rejectUnauthorized ?? true),
  );
  const mode = verifies ? 'verify-full' : 'encrypt';
  const tls = { mode, ca: pem('ca'), cert: pem('cert'), key: pem('key') } as const;
  return checkPair(tls, (key) => `${name}.${key}`);
}

/** The parameters of the connection string called `name`; `null` if they say nothing of TLS. */
export function tlsOfParameters(
  parameters: Readonly<Record<string, string>>,
  name: string,
): Tls | null {
  const { ssl, sslmode, sslcert, sslkey, sslrootcert } = parameters;
  if (!(sslmode || sslcert || sslkey || sslrootcert)) {
    return ssl === undefined ? null : tlsOfWord(ssl, `ssl in ${name}`);
  }
  const mode = modeOfParameters(parameters, name);
  if (mode === 'disable') return plain(mode);
  const label = (key: Pem) => `${PARAMETERS[key]} in ${name}`;
  const tls = {
    mode,
    ca: pemFile(sslrootcert, label('ca')),
    cert: pemFile(sslcert, label('cert')),
    key: pemFile(sslkey, label('key')),
  };
  return checkPair(tls, label);
}

/** The environment. It counts if neither the connection string nor the fields say anything of TLS. */
export function tlsOfEnvironment(env: NodeJS.ProcessEnv): Tls {
  const mode = env.PGSSLMODE;
  return plain(mode ? choice(ENVIRONMENT_MODES, mode, 'PGSSLMODE') : 'disable');
}

/**
 * All certificate authorities that a verified connection accepts: those that the user named or else those of Node.js,
 * which are the public ones and those of `NODE_EXTRA_CA_CERTS`.
 */
export function authorities(tls: Tls, env: NodeJS.ProcessEnv): string | null {
  if (tls.ca !== null || tls.mode !== 'verify-full') return tls.ca;
  // Loaded here, so that a connection without TLS does not wait for it.
  const { rootCertificates } = nodeTls();
  const extra = extraAuthorities(env.NODE_EXTRA_CA_CERTS);
  return [...rootCertificates, ...(extra === null ? [] : [extra])].join('\n');
}

/** Passes over a file that it cannot use, as Node.js does. */
function extraAuthorities(file: string | undefined): string | null {
  if (!file) return null;
  try {
    const pem = readFileSync(file, 'utf8');
    return areCertificates(pem) ? pem : null;
  } catch {
    return null;
  }
}

/** The same for node-postgres's field `ssl`. */
export function toNodeTls({ mode, ca, cert, key }: Tls): boolean | ConnectionOptions {
  if (mode === 'disable') return false;
  return {
    rejectUnauthorized: mode !== 'encrypt',
    ...(ca !== null && { ca }),
    ...(cert !== null && { cert }),
    ...(key !== null && { key }),
    ...(mode === 'verify-ca' && { checkServerIdentity: () => undefined }),
  };
}

function tlsOfWord(word: string, name: string): Tls {
  return plain(choice(WORDS, word, name));
}

/**
 * The mode that a word stands for. For a misspelt word, no other is suggested: `verify` would lead to `no-verify`,
 * which protects less.
 */
function choice(modes: Readonly<Record<string, TlsMode>>, word: string, name: string): TlsMode {
  const mode = Object.hasOwn(modes, word) ? modes[word] : undefined;
  return mode ?? refuseValue(setting(name, word), `one of ${Object.keys(modes).join(', ')}`);
}

function modeOfParameters(parameters: Readonly<Record<string, string>>, name: string): TlsMode {
  const { sslmode = '', sslrootcert, uselibpqcompat = 'false' } = parameters;
  if (uselibpqcompat !== 'true' && uselibpqcompat !== 'false') {
    refuseValue(setting(`uselibpqcompat in ${name}`, uselibpqcompat), 'true or false');
  }
  if (sslmode === '') return 'verify-full';
  const label = `sslmode in ${name}`;
  if (uselibpqcompat === 'false') return choice(STRING_MODES, sslmode, label);
  if (sslmode === 'require' && sslrootcert) return 'verify-ca';
  if (sslmode === 'verify-ca' && !sslrootcert) {
    refuseConfig(
      `${label} is verify-ca, which needs sslrootcert: else a public authority's certificate for any host would pass`,
    );
  }
  return choice(LIBPQ_MODES, sslmode, label);
}

function refuseOtherOptions(options: Options, name: string): void {
  for (const option of givenOptions(options)) {
    if (FIELD_OPTIONS.includes(option)) continue;
    const instead =
      option === 'checkServerIdentity'
        ? '; to leave out the check of the host, use uselibpqcompat=true&sslmode=verify-ca&sslrootcert=FILE in the connection string'
        : `, only ${FIELD_OPTIONS.join(', ')}${suggest(option, FIELD_OPTIONS)}`;
    refuseConfig(`${name}.${option} cannot be honoured${instead}`);
  }
}

function pemText(given: Given): string {
  const { value, name } = given;
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (name.endsWith('.ca') && Array.isArray(value)) {
    return value.map((item) => pemText(setting(`${name}[]`, item))).join('\n');
  }
  refuseValue(given, 'PEM text as a string or a Buffer');
}

function pemFile(path: string | undefined, name: string): string | null {
  if (!path) return null;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    refuseConfig(`${name} names a file that cannot be read (${reason})`);
  }
}

/** Checks that the texts belong together. The errors of a handshake would name neither the option nor the file. */
function checkPair(tls: Tls, label: (key: Pem) => string): Tls {
  if (tls.ca !== null) checkCertificates(tls.ca, label('ca'));
  if (tls.cert !== null) checkCertificates(tls.cert, label('cert'));
  const key = tls.key === null ? null : readKey(tls.key, label('key'));
  if (tls.cert === null && key === null) return tls;
  if (tls.cert === null) refuseConfig(`${label('key')} needs ${label('cert')} beside it`);
  if (key === null) refuseConfig(`${label('cert')} needs ${label('key')} beside it`);
  if (!new (crypto().X509Certificate)(tls.cert).checkPrivateKey(key)) {
    refuseConfig(`${label('key')} is not the key of ${label('cert')}`);
  }
  return tls;
}

function checkCertificates(pem: string, name: string): void {
  if (areCertificates(pem)) return;
  refuseConfig(
    `${name} must be PEM text: certificates that begin with -----BEGIN CERTIFICATE-----, with line breaks`,
  );
}

function areCertificates(pem: string): boolean {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.length > 0 && blocks.every(isCertificate);
}

function isCertificate(pem: string): boolean {
  try {
    return new (crypto().X509Certificate)(pem).raw.length > 0;
  } catch {
    return false;
  }
}

function readKey(pem: string, name: string): KeyObject {
  if (/\bENCRYPTED\b/.test(pem)) {
    refuseConfig(`${name} is encrypted, and its passphrase cannot be given: decrypt it first`);
  }
  try {
    return crypto().createPrivateKey(pem);
  } catch {
    refuseConfig(
      `${name} must be PEM text: a private key that begins with -----BEGIN PRIVATE KEY-----, with line breaks`,
    );
  }
}
