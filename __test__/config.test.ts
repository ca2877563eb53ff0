import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { resolveConfig, resolveConnectionString } from '../ts/config/config.js';
import { JobQueueError } from '../ts/errors/job-queue-error.js';

type Env = Record<string, string>;
type Fields = Record<string, unknown>;

const OS_USER = 'os-user';

/** A certificate that signs itself, good until 2126, and its key, which guards nothing. */
const CERT = `-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUO28u+V1jEPLDkuj5O+4DQPq8E5EwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA5MTAxMloYDzIxMjYxMDI5
MDkxMDEyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARHJIJtT0BYj6DY/JC8x9XNS69zcPJ9o6LRHeFOfSs0Yfi6pvCR+gcc
lBTatRjQMFOvBH5oKNxU7gaSmebOSP6Eo1MwUTAdBgNVHQ4EFgQUosYUGnR0qAMd
4FSLqwC22Pj1zG8wHwYDVR0jBBgwFoAUosYUGnR0qAMd4FSLqwC22Pj1zG8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEArl0RuTmRW1/GMdhHfmXL
AK7ZdkVHkU+rflo9r98VkNkCIQD5mdbVJp3B6bjUbD806LnOxIEk0K8vJslTI/06
gV7Rgw==
-----END CERTIFICATE-----
`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQguF2DAB0wKv+H3DPu
qmq61IP+gLY1jjtj1oSEZi98UaOhRANCAARHJIJtT0BYj6DY/JC8x9XNS69zcPJ9
o6LRHeFOfSs0Yfi6pvCR+gcclBTatRjQMFOvBH5oKNxU7gaSmebOSP6E
-----END PRIVATE KEY-----
`;
const OTHER_KEY = newKey();
const ENCRYPTED_KEY = newKey({ cipher: 'aes-256-cbc', passphrase: 'open sesame' });

function newKey(encryption: { cipher?: string; passphrase?: string } = {}): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption }).toString();
}

let directory: string;

function file(name: string, content?: string): string {
  const path = join(directory, name);
  if (content !== undefined) writeFileSync(path, content, { mode: 0o600 });
  return path;
}

beforeAll(() => {
  directory = mkdtempSync('/tmp/config-test-');
  file('cert.pem', CERT);
  file('key.pem', KEY);
  pg.defaults.user = OS_USER;
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

function resolve(databaseConfig: Fields, env: Env = {}) {
  return resolveConfig({ databaseConfig }, { USER: OS_USER, ...env });
}

function settings(databaseConfig: Fields, env: Env = {}) {
  return resolve(databaseConfig, env).settings;
}

function ofString(connectionString: string, env: Env = {}) {
  return settings({ connectionString }, env);
}

function refusal(config: unknown, env: Env = {}): string {
  try {
    resolveConfig(config, { USER: OS_USER, ...env });
  } catch (error) {
    expect(error).toBeInstanceOf(JobQueueError);
    const { code, cause, message } = error as JobQueueError;
    expect({ code, cause }).toEqual({ code: 'INVALID_CONFIG', cause: undefined });
    return message;
  }
  throw new Error('the configuration was accepted');
}

function refusalOf(databaseConfig: Fields, env: Env = {}): string {
  return refusal({ databaseConfig }, env);
}

interface Connection {
  host: unknown;
  port: unknown;
  user: unknown;
  database: unknown;
  password: unknown;
  tls: unknown;
  applicationName: unknown;
  statementTimeoutMs: number;
}

/** What node-postgres makes of a configuration. */
function nodePostgres(config: Fields, env: Env = {}): Connection {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('PG')) vi.stubEnv(name, undefined);
  }
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const client = new pg.Client(config) as unknown as {
    connectionParameters: Fields & { ssl: boolean | pg.ClientConfig['ssl'] };
  };
  const found = client.connectionParameters;
  return {
    host: found.host,
    port: found.port,
    user: found.user,
    database: found.database,
    password: found.password || null,
    tls: tlsMode(found.ssl),
    applicationName: found.application_name || found.fallback_application_name || null,
    statementTimeoutMs: Number(found.statement_timeout || 0),
  };
}

function tlsMode(ssl: pg.ClientConfig['ssl']): string {
  if (!ssl) return 'disable';
  if (ssl === true) return 'verify-full';
  if (ssl.rejectUnauthorized === false) return 'encrypt';
  return ssl.checkServerIdentity ? 'verify-ca' : 'verify-full';
}

function ours(config: Fields, env: Env = {}): Connection {
  const { settings: s, askPassword } = resolve(config, env);
  const { host, port, user, database, tls, applicationName, statementTimeoutMs } = s;
  const password = askPassword ?? s.password;
  return { host, port, user, database, password, tls, applicationName, statementTimeoutMs };
}

/** The configuration means to us, and in the pool of `getPool()`, what it means to node-postgres. */
function expectAgreement(config: Fields, env: Env = {}): void {
  const expected = nodePostgres(config, env);
  expect(ours(config, env)).toEqual(expected);
  expect(nodePostgres(resolve(config, env).poolConfig as Fields, env)).toEqual(expected);
}

/** The authorities that Node.js accepts where none is named. */
const PUBLIC = rootCertificates.join('\n');

describe('agrees with node-postgres on connection strings', () => {
  test.each([
    'postgresql://me:secret@db.example.com:6543/app',
    'postgres://me:secret@db.example.com/app',
    'POSTGRES://me@DB.Example.com/App',
    'pg://me@localhost/app',
    'postgresql://',
    'postgresql:///app',
    'postgresql://localhost',
    'postgresql://localhost/',
    'postgresql://me@localhost:5433',
    'postgresql://me:@localhost/app',
    'postgresql://:secret@localhost/app',
    'postgresql://me:secret@[::1]:5433/app',
    'postgresql://me@[2001:db8::7334]/app',
    'postgresql://me@127.0.0.1/app',
    'postgresql://me:secret@%2Fvar%2Frun%2Fpostgresql/app',
    'postgresql://%2fvar%2frun%2fpostgresql:5433/app',
    'postgresql:///app?host=/var/run/postgresql',
    'postgresql:///app?host=/tmp&user=me&password=secret&port=6000',
    'postgresql://me:secret@/app?host=/var/run/postgresql',
    'postgresql://ignored:1@other:1/app?host=h&port=2&user=me&password=secret',
    'postgresql://me@localhost/app?host=&port=&user=&password=',
    '/var/run/postgresql app',
    '/var/run/postgresql',
    'socket:/var/run/postgresql?db=app',
    'socket:/var/run/postgresql/?db=app&encoding=utf8',
    'socket:/tmp/some%20where?db=app&user=me&password=secret&port=6000',
    'socket://me:secret@/tmp?db=app',
    'socket:/tmp',
  ])('%s', (connectionString) => {
    expectAgreement({ connectionString });
  });

  test.each([
    'postgresql://m%40e:s%2Fe%3Ac%23r%3Ft%25@localhost/app',
    'postgresql://me:se:cr:et@localhost/app',
    'postgresql://me:s@cret@localhost/app',
    'postgresql://me:s cret@localhost/my app',
    'postgresql://me:100%sure@localhost/app',
    'postgresql://me:100%@localhost/app',
    'postgresql://me:a%20b%2Fc d@localhost/app',
    'postgresql://me:[{^|`"<>}]!$&\'()*+,;=~@localhost/app',
    'postgresql://mé:sécret…🔑@localhost/naïve',
    'postgresql://me:%C3%A9@localhost/na%C3%AFve',
    'postgresql://localhost/a%2Fb%20c%3Fd',
    'postgresql://localhost/a/b',
    'postgresql://localhost/app;drop=x,y',
    'postgresql://localhost/app?password=a+b%2Bc&user=m%40e',
    'postgresql://me@example.com@localhost/app',
    'postgresql://localhost/app?user=me@example.com',
  ])('whatever characters they hold: %s', (connectionString) => {
    expectAgreement({ connectionString });
  });

  test.each([
    '?application_name=billing',
    '?application_name=a%20b&fallback_application_name=other',
    '?fallback_application_name=other',
    '?statement_timeout=5000',
    '?statement_timeout=0',
    '?application_name=one&application_name=two',
    '?pgbouncer=true&connection_limit=1&pool_timeout=20&schema=public&connect_timeout=10',
    '?channel_binding=require&target_session_attrs=read-write&client_encoding=utf8',
    '?supa=base-pooler.x&workaround=supabase-pooler.vercel&max=5&keepAlive=true',
    '?sslnegotiation=postgres',
  ])('with parameters: %s', (query) => {
    expectAgreement({ connectionString: `postgresql://me@localhost/app${query}` });
  });

  test('for every user, password and database, percent-encoded', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter((s) => !s.includes('\0'));
    fc.assert(
      fc.property(name, name, name, (user, password, database) => {
        const [u, p, d] = [user, password, database].map(encodeURIComponent);
        fc.pre(d !== '.' && d !== '..');
        const connectionString = `postgresql://${u}:${p}@localhost/${d}`;
        expect(ofString(connectionString)).toMatchObject({ user, password });
        expectAgreement({ connectionString });
      }),
    );
  });

  test('for every password that was put in as it is and is still a URL', () => {
    // Without 0, lest %00 come about, which Postgres cannot read.
    const letter = fc.constantFrom(...'aZ29%25 +@:;,.!$&*()[]{}|^`~"<>\'=é');
    const raw = fc.string({ unit: letter, minLength: 1 });
    fc.assert(
      fc.property(raw, (password) => {
        const connectionString = `postgresql://me:${password}@localhost/app`;
        let expected: Connection;
        try {
          expected = nodePostgres({ connectionString });
        } catch {
          expect(refusalOf({ connectionString })).toContain('not a valid connection string');
          return;
        }
        expect(ours({ connectionString })).toEqual(expected);
      }),
    );
  });
});

describe('agrees with node-postgres on precedence', () => {
  const env = {
    PGHOST: 'env-host',
    PGPORT: '6001',
    PGUSER: 'env-user',
    PGDATABASE: 'env-database',
    PGPASSWORD: 'env-password',
    PGAPPNAME: 'env-name',
    PGSSLMODE: 'no-verify',
  };
  const fields = {
    host: 'field-host',
    port: 6002,
    user: 'field-user',
    database: 'field-database',
    password: 'field-password',
    application_name: 'field-name',
    ssl: true,
    statement_timeout: 7000,
  };
  const environments: Env[] = [{}, env, { PGUSER: 'env-user' }, { PGPORT: '', PGHOST: '' }];
  const strings = [
    undefined,
    'postgresql://',
    'postgresql://string-host/string-database',
    'postgresql://string-user:string-password@string-host:6003/string-database',
    'postgresql://string-user@/?application_name=string-name&statement_timeout=1&sslmode=disable',
    'socket:/string-host?db=string-database&sslmode=disable',
    'socket:/string-host?ssl=0',
    '/string-host string-database',
  ];

  test.each(strings)('%s', (connectionString) => {
    for (const someFields of subsets(fields)) {
      for (const someEnv of environments) {
        const config = { ...someFields, ...(connectionString && { connectionString }) };
        const host = nodePostgres(config, someEnv).host as string;
        if (host.startsWith('/') && nodePostgres(config, someEnv).tls !== 'disable') continue;
        expectAgreement(config, someEnv);
      }
    }
  });

  test('a connection string silences the fields even where it says nothing', () => {
    const connectionString = 'postgresql://localhost';
    expect(settings({ ...fields, connectionString })).toMatchObject({
      host: 'localhost',
      port: 5432,
      user: OS_USER,
      database: OS_USER,
      password: null,
      applicationName: 'field-name',
    });
  });

  test.each<Fields>([
    { host: '', port: undefined, user: null, database: '', password: '' },
    { host: '/tmp', user: 'me' },
    { host: '::1', port: '5433' },
    { ssl: false },
    { ssl: undefined },
    { ssl: {} },
    { ssl: 'true' },
    { ssl: 'no-verify' },
    { ssl: { rejectUnauthorized: false } },
    { ssl: { rejectUnauthorized: true } },
    { ssl: { rejectUnauthorized: undefined, ca: undefined, cert: undefined, key: undefined } },
    { statement_timeout: false },
    { fallback_application_name: 'x' },
    { connectionString: undefined, host: 'h' },
    { connectionString: '', host: 'h' },
  ])('fields %j', (config) => {
    expectAgreement(config);
  });

  test('with a function for a password', () => {
    const password = async () => 'secret';
    expectAgreement({ password }, { PGPASSWORD: 'env-password' });
    expectAgreement({ password, connectionString: 'postgresql://me:secret@localhost/app' });
    expect(resolve({ password })).toMatchObject({
      askPassword: password,
      settings: { password: null },
    });
  });
});

function* subsets(fields: Fields): Generator<Fields> {
  const keys = Object.keys(fields);
  for (let bits = 0; bits < 2 ** keys.length; bits += 5) {
    yield Object.fromEntries(
      keys.filter((_, i) => bits & (1 << i)).map((key) => [key, fields[key]]),
    );
  }
}

describe('agrees with node-postgres on TLS', () => {
  const root = () => `sslrootcert=${file('cert.pem')}`;
  const client = () => `sslcert=${file('cert.pem')}&sslkey=${file('key.pem')}`;

  test.each<[string, string]>([
    ['', 'disable'],
    ['sslmode=', 'disable'],
    ['sslmode=disable', 'disable'],
    ['sslmode=allow', 'verify-full'],
    ['sslmode=prefer', 'verify-full'],
    ['sslmode=require', 'verify-full'],
    ['sslmode=verify-ca', 'verify-full'],
    ['sslmode=verify-full', 'verify-full'],
    ['sslmode=no-verify', 'encrypt'],
    ['sslmode=require&uselibpqcompat=false', 'verify-full'],
    ['uselibpqcompat=true', 'disable'],
    ['uselibpqcompat=true&sslmode=disable', 'disable'],
    ['uselibpqcompat=true&sslmode=allow', 'verify-full'],
    ['uselibpqcompat=true&sslmode=prefer', 'encrypt'],
    ['uselibpqcompat=true&sslmode=require', 'encrypt'],
    ['uselibpqcompat=true&sslmode=verify-full', 'verify-full'],
    ['uselibpqcompat=true&sslmode=no-verify', 'verify-full'],
    ['ssl=true', 'verify-full'],
    ['ssl=1', 'verify-full'],
    ['ssl=0', 'disable'],
    ['ssl=no-verify', 'encrypt'],
    ['ssl=0&sslmode=require', 'verify-full'],
    ['ssl=true&sslmode=disable', 'disable'],
    ['ssl=no-verify&sslmode=verify-full', 'verify-full'],
  ])('?%s means %s', (query, tls) => {
    const connectionString = `postgresql://me@localhost/app?${query}`;
    expect(ofString(connectionString).tls).toBe(tls);
    for (const ssl of [undefined, true, false, { rejectUnauthorized: false }]) {
      expectAgreement({ connectionString, ssl });
      expectAgreement({ connectionString, ssl }, { PGSSLMODE: 'require' });
    }
  });

  test.each<[string, string]>([
    ['', 'verify-full'],
    ['&sslmode=require', 'verify-full'],
    ['&sslmode=verify-ca', 'verify-full'],
    ['&sslmode=no-verify', 'encrypt'],
    ['&sslmode=require&uselibpqcompat=true', 'verify-ca'],
    ['&sslmode=verify-ca&uselibpqcompat=true', 'verify-ca'],
    ['&sslmode=verify-full&uselibpqcompat=true', 'verify-full'],
    ['&sslmode=prefer&uselibpqcompat=true', 'encrypt'],
  ])('?sslrootcert=...%s means %s', (query, tls) => {
    const connectionString = `postgresql://me@localhost/app?${root()}${query}`;
    expect(ofString(connectionString)).toMatchObject({ tls, ca: CERT });
    expectAgreement({ connectionString });
  });

  test.each(['', 'disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'])(
    'PGSSLMODE=%s',
    (PGSSLMODE) => {
      expectAgreement({}, { PGSSLMODE });
      expectAgreement({ ssl: false }, { PGSSLMODE });
      expectAgreement({ connectionString: 'postgresql://localhost' }, { PGSSLMODE });
    },
  );

  test('a client certificate of the connection string', () => {
    const connectionString = `postgresql://me@localhost/app?${client()}`;
    const { settings: found, poolConfig } = resolve({ connectionString });
    expect(found).toMatchObject({ tls: 'verify-full', ca: PUBLIC, cert: CERT, key: KEY });
    expect(poolConfig.ssl).toEqual({ rejectUnauthorized: true, cert: CERT, key: KEY });
  });

  test('PEM text of the field ssl, as strings and Buffers', () => {
    const ssl = { ca: [CERT, Buffer.from(CERT)], cert: Buffer.from(CERT), key: KEY };
    const ca = `${CERT}\n${CERT}`;
    const { settings: found, poolConfig } = resolve({ ssl });
    expect(found).toMatchObject({ tls: 'verify-full', ca, cert: CERT, key: KEY });
    expect(poolConfig.ssl).toEqual({ rejectUnauthorized: true, ca, cert: CERT, key: KEY });
    expect(settings({ ssl: { ...ssl, rejectUnauthorized: false } }).tls).toBe('encrypt');
  });

  test('without TLS, the files of the connection string are not needed', () => {
    expect(ofString('postgresql://localhost?sslmode=disable&sslcert=/none').tls).toBe('disable');
  });

  test('NODE_EXTRA_CA_CERTS adds authorities where Node.js adds them', () => {
    const env = { NODE_EXTRA_CA_CERTS: file('cert.pem') };
    expect(settings({ ssl: true }, env).ca).toBe(`${PUBLIC}\n${CERT}`);
    expect(settings({ ssl: { ca: CERT } }, env).ca).toBe(CERT);
    expect(resolve({ ssl: true }, env).poolConfig.ssl).toEqual({ rejectUnauthorized: true });
    expect(settings({ ssl: false }, env).ca).toBeNull();
    expect(settings({ ssl: true }, { NODE_EXTRA_CA_CERTS: '/none' }).ca).toBe(PUBLIC);
    expect(settings({ ssl: true }, { NODE_EXTRA_CA_CERTS: file('junk', 'x') }).ca).toBe(PUBLIC);
  });
});

describe('pooler', () => {
  const poolerOf = (connectionString: string, given: object = {}) =>
    resolveConfig({ databaseConfig: { connectionString }, ...given }, {}).settings.pooler;

  test.each([
    'postgresql://me@aws-0-eu.pooler.supabase.com:6543/postgres',
    'postgresql://me@ep-cool-1-pooler.eu-central-1.aws.neon.tech/app',
    'postgresql://me@db/app?pgbouncer=true',
  ])('is told by %s', (url) => {
    expect(poolerOf(url)).toBe('transaction');
    expect(poolerOf(url, { pooler: 'none' })).toBe('none');
  });

  test.each([
    'postgresql://me@aws-0-eu.pooler.supabase.com:5432/postgres',
    'postgresql://me@ep-cool-1.eu-central-1.aws.neon.tech/app',
    'postgresql://me@db:6543/app?pgbouncer=false',
  ])('is none at %s', (url) => {
    expect(poolerOf(url)).toBe('none');
    expect(poolerOf(url, { pooler: 'transaction' })).toBe('transaction');
  });

  test.each<[unknown, string]>([
    ['session', 'a string'],
    ['transactions', 'a string (did you mean transaction?)'],
    [true, 'a boolean'],
    [1, 'a number'],
    [{}, 'an object'],
  ])('cannot be %o', (pooler, got) => {
    expect(refusal({ databaseConfig: { host: 'h' }, pooler })).toBe(
      `initJobQueue: pooler must be 'transaction' or 'none', got ${got}`,
    );
  });

  test.each(['options=-cgeqo%3Doff', 'lock_timeout=5'])('leaves no session for %s', (parameter) => {
    expect(() => poolerOf(`postgresql://me@db/app?pgbouncer=true&${parameter}`)).toThrow(
      'belong to a session, which a pooler in transaction mode does not keep',
    );
  });
});

describe('everything is present', () => {
  test('by default', () => {
    expect(resolve({})).toEqual({
      settings: {
        host: 'localhost',
        port: 5432,
        user: OS_USER,
        database: OS_USER,
        password: null,
        tls: 'disable',
        ca: null,
        cert: null,
        key: null,
        applicationName: null,
        options: null,
        pooler: 'none',
        statementTimeoutMs: 0,
        queryTimeoutMs: 300_000,
        connectTimeoutMs: 0,
        max: 10,
        idleTimeoutMs: 10_000,
        maxLifetimeMs: 0,
      },
      askPassword: null,
      schema: 'public',
      defaults: null,
      retention: null,
      verbose: false,
      poolConfig: {
        host: 'localhost',
        port: 5432,
        user: OS_USER,
        database: OS_USER,
        ssl: false,
        statement_timeout: false,
        connectionTimeoutMillis: 0,
        max: 10,
        idleTimeoutMillis: 10_000,
        maxLifetimeSeconds: 0,
      },
    });
  });

  test('with every option given', () => {
    const databaseConfig = {
      connectionString: 'postgresql://me:secret@db:6000/app',
      max: 3,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: 2000,
      maxLifetimeSeconds: 60,
      statement_timeout: 5000,
      query_timeout: 7000,
      application_name: 'billing',
      options: '-c search_path=app',
      lock_timeout: 100,
      idle_in_transaction_session_timeout: 200,
    };
    const resolved = resolveConfig({ databaseConfig, schema: 'jobs', verbose: true }, {});
    const options =
      '-c search_path=app -c lock_timeout=100 -c idle_in_transaction_session_timeout=200';
    expect(resolved.settings).toEqual({
      host: 'db',
      port: 6000,
      user: 'me',
      database: 'app',
      password: 'secret',
      tls: 'disable',
      ca: null,
      cert: null,
      key: null,
      applicationName: 'billing',
      options,
      pooler: 'none',
      statementTimeoutMs: 5000,
      queryTimeoutMs: 7000,
      connectTimeoutMs: 2000,
      max: 3,
      idleTimeoutMs: 0,
      maxLifetimeMs: 60_000,
    });
    expect(resolved).toMatchObject({ schema: 'jobs', verbose: true });
    expect(resolved.poolConfig).toEqual({
      host: 'db',
      port: 6000,
      user: 'me',
      database: 'app',
      password: 'secret',
      ssl: false,
      application_name: 'billing',
      options,
      statement_timeout: 5000,
      query_timeout: 7000,
      connectionTimeoutMillis: 2000,
      max: 3,
      idleTimeoutMillis: 0,
      maxLifetimeSeconds: 60,
    });
  });

  test('options: connection string over field over PGOPTIONS', () => {
    const env = { PGOPTIONS: '-c a=1' };
    const connectionString = 'postgresql://localhost/app?options=endpoint%3Dep-x&lock_timeout=5';
    expect(settings({}, env).options).toBe('-c a=1');
    expect(settings({ options: '-c b=2' }, env).options).toBe('-c b=2');
    expect(settings({ options: '-c b=2', connectionString }, env).options).toBe(
      'endpoint=ep-x -c lock_timeout=5',
    );
  });

  test('the user of the operating system where no variable names one', () => {
    expect(resolveConfig({ databaseConfig: {} }, {}).settings.user).toBe(userInfo().username);
  });

  test('an IPv6 address without brackets, wherever it is from', () => {
    expect(settings({ host: '[::1]' }).host).toBe('::1');
    expect(settings({}, { PGHOST: '[::1]' }).host).toBe('::1');
  });

  test('space around a connection string is no part of it', () => {
    expect(ofString(' postgresql://me@localhost/app \n').database).toBe('app');
  });

  test('ssl=false in a connection string, on which node-postgres fails, means no TLS', () => {
    expect(ofString('postgresql://localhost?ssl=false').tls).toBe('disable');
  });

  test('options that ask for nothing but what happens anyway', () => {
    const harmless = { min: 0, keepAlive: false, maxUses: Number.POSITIVE_INFINITY };
    expect(settings({ ...harmless, allowExitOnIdle: true })).toEqual(settings({}));
    expect(settings({ unknown: undefined, keepAlive: undefined })).toEqual(settings({}));
    expect(settings({ sslnegotiation: 'postgres' }, { PGSSLNEGOTIATION: 'direct' }).port).toBe(
      5432,
    );
  });
});

describe('a connection string alone', () => {
  test('for the CLI', () => {
    expect(resolveConnectionString('postgresql://me:secret@db/app', { PGPORT: '6000' })).toEqual({
      ...settings({ connectionString: 'postgresql://me:secret@db:6000/app' }),
    });
  });

  test.each(['', '  ', 'nonsense'])('refused and called by its name: %j', (url) => {
    expect(() => resolveConnectionString(url, {}, '--database')).toThrow(/^--database is /);
  });
});

describe('a missing environment variable is found out', () => {
  test.each<[string, Fields]>([
    ['undefined', { connectionString: undefined }],
    ['undefined', { connectionString: undefined, host: undefined, user: 'me' }],
    ['undefined', { connectionString: undefined, host: '' }],
    ['null', { connectionString: null }],
    ['empty', { connectionString: '' }],
    ['empty', { connectionString: ' \n', ssl: true }],
  ])('%s: %j', (what, databaseConfig) => {
    expect(refusalOf(databaseConfig, { PGHOST: 'env-host' })).toBe(
      `initJobQueue: databaseConfig.connectionString is ${what}: is the environment variable that it is read from missing?`,
    );
  });
});

describe('what is refused', () => {
  test.each<[unknown, string]>([
    [undefined, 'config must be an object, got undefined'],
    [null, 'config must be an object, got null'],
    ['postgresql://me:secret@db', 'config must be an object, got a string'],
    [[], 'config must be an object, got an array'],
    [{}, 'databaseConfig is missing'],
    [{ databaseConfig: null }, 'databaseConfig is missing'],
    [{ databaseConfig: 'postgresql://me:secret@db' }, 'databaseConfig must be an object, got a s'],
    [
      { databaseConfig: {}, verbos: true },
      'config: unknown option "verbos" (did you mean verbose?)',
    ],
    [{ connectionString: 'secret' }, 'config.connectionString belongs in databaseConfig'],
    [{ databaseConfig: {}, verbose: 1 }, 'verbose must be true or false, got a number'],
    [{ databaseConfig: {}, schema: '' }, 'schema must be 1 to 63 bytes long, got 0'],
    [{ databaseConfig: {}, schema: 'é'.repeat(32) }, 'schema must be 1 to 63 bytes long, got 64'],
    [{ databaseConfig: {}, schema: '$user' }, 'schema must not be $user or begin with pg_'],
    [{ databaseConfig: {}, schema: 'pg_jobs' }, 'schema must not be $user or begin with pg_'],
    [{ databaseConfig: {}, schema: 'a\0b' }, 'schema holds \\u0000'],
    [{ databaseConfig: {}, schema: 7 }, 'schema must be a string, got a number'],
  ])('%j', (config, message) => {
    expect(refusal(config)).toContain(`initJobQueue: ${message}`);
  });

  test('a schema of 63 bytes is not', () => {
    const schema = 's'.repeat(63);
    expect(resolveConfig({ databaseConfig: {}, schema }, {}).schema).toBe(schema);
  });

  test.each<[Fields, string]>([
    [{ port: 0 }, 'databaseConfig.port must be an integer between 1 and 65535, got 0'],
    [{ port: 65536 }, 'between 1 and 65535, got 65536'],
    [{ port: 1.5 }, 'between 1 and 65535, got 1.5'],
    [{ port: Number.NaN }, 'between 1 and 65535, got NaN'],
    [{ port: 'five' }, 'between 1 and 65535, got a string'],
    [{ max: 0 }, 'databaseConfig.max must be an integer between 1 and 10000, got 0'],
    [{ max: 10_001 }, 'databaseConfig.max must be an integer between 1 and 10000, got 10001'],
    [{ max: '5' }, 'databaseConfig.max must be an integer between 1 and 10000, got a string'],
    [{ idleTimeoutMillis: -1 }, 'idleTimeoutMillis must be an integer between 0 and 2147483647'],
    [{ connectionTimeoutMillis: 2 ** 31 }, 'between 0 and 2147483647, got 2147483648'],
    [{ maxLifetimeSeconds: 2_147_484 }, 'maxLifetimeSeconds must be an integer between 0 and 2147'],
    [{ statement_timeout: -5 }, 'statement_timeout must be an integer between 0 and 2147483647'],
    [{ statement_timeout: '30s' }, 'statement_timeout must be an integer'],
    [{ statement_timeout: true }, 'statement_timeout must be an integer'],
    [{ lock_timeout: 0.5 }, 'lock_timeout must be an integer'],
    [{ host: 5 }, 'databaseConfig.host must be a string, got a number'],
    [{ host: 'a\0b' }, 'databaseConfig.host holds \\u0000'],
    [{ user: {} }, 'databaseConfig.user must be a string, got an object'],
    [{ database: true }, 'databaseConfig.database must be a string, got a boolean'],
    [{ application_name: 'a\0b' }, 'databaseConfig.application_name holds \\u0000'],
    [{ options: [] }, 'databaseConfig.options must be a string, got an array'],
    [{ password: 12345 }, 'databaseConfig.password must be a string or a function, got a number'],
    [{ password: { secret: 1 } }, 'password must be a string or a function, got an object'],
    [{ connectionString: 5 }, 'databaseConfig.connectionString must be a string, got a number'],
    [{ connectionString: new URL('pg://me:secret@db') }, 'must be a string, got an object'],
  ])('%j', (databaseConfig, message) => {
    const refused = refusalOf(databaseConfig);
    expect(refused).toContain(message);
    expect(refused).not.toMatch(/12345|secret/);
  });

  test.each<[Env, string]>([
    [{ PGPORT: 'five' }, 'PGPORT must be an integer between 1 and 65535, got a string'],
    [{ PGPORT: '70000' }, 'PGPORT must be an integer between 1 and 65535, got 70000'],
    [{ PGSSLMODE: 'required' }, 'PGSSLMODE must be one of disable, allow, prefer, require, verify'],
    [{ PGSSLNEGOTIATION: 'direct' }, 'PGSSLNEGOTIATION is an option of node-postgres that cannot'],
  ])('%j', (env, message) => {
    expect(refusalOf({}, env)).toContain(message);
  });

  test.each<[string, string]>([
    ['conectionString', ' (did you mean connectionString?)'],
    ['statementTimeout', ' (did you mean statement_timeout?)'],
    ['idleTimeoutMilis', ' (did you mean idleTimeoutMillis?)'],
    ['prot', ''],
    ['toString', ''],
    ['verbose', ''],
  ])('the unknown option %s', (option, suggested) => {
    expect(refusalOf({ host: 'h', [option]: 'x' })).toContain(
      `databaseConfig: unknown option "${option}"${suggested}`,
    );
  });

  test.each<Fields>([
    { keepAlive: true },
    { keepAliveInitialDelayMillis: 1000 },
    { min: 1 },
    { maxUses: 100 },
    { Client: class {} },
    { stream: () => undefined },
    { types: {} },
    { client_encoding: 'latin1' },
    { enableChannelBinding: true },
    { sslnegotiation: 'direct', ssl: true },
    { replication: 'database' },
    { log: () => undefined },
  ])('an option of node-postgres that cannot be honoured: %o', (databaseConfig) => {
    const [option] = Object.keys(databaseConfig);
    expect(refusalOf(databaseConfig)).toContain(
      `databaseConfig.${option} is an option of node-postgres that cannot be honoured here`,
    );
  });
});

describe('a connection string that is refused', () => {
  test.each([
    'hunter2',
    'db.example.com/app',
    'me:hunter2@db/app',
    'host=db password=hunter2',
    'mysql://me:hunter2@db/app',
    'https://me:hunter2@db/app',
    'jdbc:postgresql://db/app?password=hunter2',
    '"postgresql://me:hunter2@db/app"',
    "psql 'postgresql://me:hunter2@db/app'",
    'postgresql:hunter2',
    'postgresql://me:hun#ter2@db/app',
    'postgresql://me:12#hunter2@db/app',
    'postgresql://me:12/hunter2@db/app',
    'postgresql://me:12?hunter2@db/app',
    'postgresql://me:12?sslhunter2@db/app',
    'postgresql://me:12?a=hunter2@db/app',
    'socket:hunter2',
    'postgresql://me:hunter2@db:70000/app',
    'postgresql://me:hunter2@db:port/app',
    'postgresql://me:hunter2@a:1,b:2/app',
    'postgresql://me:hunter2@[::1/app',
    'postgresql://me:hunter2%ff@db/app',
    'postgresql://me:hunter2@db/%ff',
    'postgresql://me:hunter2@db/app%',
    'postgresql://me:hunter2\ud800 @db/app',
  ])('%j is malformed, and shown nowhere', (connectionString) => {
    const message = refusalOf({ connectionString });
    expect(message).toMatch(
      /^initJobQueue: databaseConfig.connectionString is not a valid connection string: /,
    );
    expect(message).not.toMatch(/hunter|ter2|\b12\b/);
  });

  test.each<[string, string]>([
    ['port=five', 'port in databaseConfig.connectionString must be an integer between 1 and 65535'],
    [
      'statement_timeout=30s',
      'statement_timeout in databaseConfig.connectionString must be an int',
    ],
    [
      'replication=database',
      'replication in databaseConfig.connectionString is an option of node-',
    ],
    [
      'sslnegotiation=direct',
      'sslnegotiation in databaseConfig.connectionString is an option of n',
    ],
    [
      'sslmode=required',
      'sslmode in databaseConfig.connectionString must be one of disable, allow',
    ],
    ['sslmode=__proto__', 'sslmode in databaseConfig.connectionString must be one of'],
    ['ssl=require', 'ssl in databaseConfig.connectionString must be one of 0, 1, true, no-verify'],
    ['ssl=', 'ssl in databaseConfig.connectionString must be one of'],
    [
      'uselibpqcompat=1&sslmode=require',
      'uselibpqcompat in databaseConfig.connectionString must be true or false',
    ],
    ['uselibpqcompat=true&sslmode=verify-ca', 'is verify-ca, which needs sslrootcert'],
    ['sslMode=require', 'has a parameter sslMode that cannot be honoured (did you mean sslmode?)'],
    ['sslcrl=/revoked', 'has a parameter sslcrl that cannot be honoured'],
    ['sslpassword=x', 'has a parameter sslpassword that cannot be honoured'],
    ['ssl%20%0a=x', 'has a parameter that cannot be honoured'],
    ['database=other', 'names a database in its parameter database'],
    ['dbname=other', 'names a database in its parameter dbname'],
    [
      'sslrootcert=/none',
      'sslrootcert in databaseConfig.connectionString names a file that cannot',
    ],
    [
      'sslcert=/none',
      'sslcert in databaseConfig.connectionString names a file that cannot be read',
    ],
  ])('?%s', (query, message) => {
    const connectionString = `postgresql://me:hunter2@localhost/app?${query}`;
    const refused = refusalOf({ connectionString });
    expect(refused).toContain(message);
    expect(refused).not.toMatch(/hunter2|localhost|required|revoked|\/none/);
  });

  test('a mode of TLS that is misspelt, without a suggestion, which might protect less', () => {
    const connectionString = 'postgresql://localhost/app?sslmode=verify';
    expect(refusalOf({ connectionString })).toMatch(/, no-verify, got a string$/);
  });

  test('a directory beside a host', () => {
    const connectionString = 'postgresql://%2Ftmp/app?host=db';
    expect(refusalOf({ connectionString })).toContain('names a directory and a host');
  });

  test('two databases of a socket', () => {
    const message = 'names a database in its parameter db, where node-postgres does not look';
    expect(refusalOf({ connectionString: 'socket:/tmp?db=app&db=me' })).toContain(message);
  });

  test('a parameter that names the same database is not', () => {
    expect(ofString('postgresql://localhost/app?dbname=app').database).toBe('app');
  });

  test('TLS over a Unix socket, where no Postgres has it', () => {
    const message = 'TLS is asked for, but host is a Unix socket';
    expect(refusalOf({ host: '/tmp', ssl: true })).toContain(message);
    expect(refusalOf({ connectionString: 'socket:/tmp?sslmode=require' })).toContain(message);
  });
});

describe('TLS options that are refused', () => {
  test.each<[string, unknown]>([
    ['ssl must be true, false or an object, got a number', 1],
    ['ssl must be true, false or an object, got a string', 'require'],
    ['ssl must be true, false or an object, got a string', ''],
    ['ssl must be true, false or an object, got an array', []],
    ['ssl.rejectUnauthorized must be true or false, got a number', { rejectUnauthorized: 0 }],
    ['ssl.rejectUnauthorized must be true or false, got a string', { rejectUnauthorized: 'false' }],
    ['ssl.servername cannot be honoured, only rejectUnauthorized, ca, cert', { servername: 'db' }],
    ['ssl.passphrase cannot be honoured', { passphrase: 'hunter2' }],
    ['ssl.pfx cannot be honoured', { pfx: 'x' }],
    ['uselibpqcompat=true&sslmode=verify-ca', { checkServerIdentity: () => undefined }],
    ['ssl.ca must be PEM text: certificates', { ca: '' }],
    ['ssl.ca must be PEM text: certificates', { ca: '/etc/hunter2.pem' }],
    ['ssl.ca must be PEM text: certificates', { ca: CERT.replaceAll('\n', '\\n') }],
    ['ssl.ca must be PEM text: certificates', { ca: CERT + CERT.replace('MIIB', 'MIIC') }],
    ['ssl.ca must be PEM text: certificates', { ca: KEY }],
    ['ssl.ca must be PEM text as a string or a Buffer, got a number', { ca: 7 }],
    ['ssl.ca[] must be PEM text as a string or a Buffer, got a number', { ca: [CERT, 7] }],
    ['ssl.cert must be PEM text as a string or a Buffer, got an array', { cert: [CERT], key: KEY }],
    ['ssl.cert needs databaseConfig.ssl.key beside it', { cert: CERT }],
    ['ssl.key needs databaseConfig.ssl.cert beside it', { key: KEY }],
    ['ssl.key must be PEM text: a private key', { cert: CERT, key: CERT }],
    ['ssl.key is not the key of databaseConfig.ssl.cert', { cert: CERT, key: OTHER_KEY }],
    ['ssl.key is encrypted', { cert: CERT, key: ENCRYPTED_KEY }],
  ])('%s', (message, ssl) => {
    for (const connectionString of [undefined, 'postgresql://localhost?sslmode=require']) {
      const refused = refusalOf({ ssl, host: 'h', connectionString });
      expect(refused).toContain(`databaseConfig.`);
      expect(refused).toContain(message);
      expect(refused).not.toMatch(/hunter2|MII|MIG/);
    }
  });

  test('of files', () => {
    const cert = `sslcert=${file('cert.pem')}`;
    const refused = (query: string) =>
      refusalOf({ connectionString: `postgresql://localhost/app?${query}` });
    expect(refused(cert)).toContain('sslcert in databaseConfig.connectionString needs sslkey in');
    expect(refused(`${cert}&sslkey=${file('other.pem', OTHER_KEY)}`)).toContain(
      'is not the key of',
    );
    expect(refused(`sslrootcert=${file('key.pem')}`)).toContain('must be PEM text: certificates');
    expect(refused(`sslrootcert=${directory}`)).toContain('cannot be read (EISDIR)');
  });
});

describe('the password file', () => {
  const lines = [
    '# db:5432:app:me:commented out',
    'too:few:fields',
    'db:5432:app:other:not mine',
    'db:5433:*:*:for any database: on 5433',
    String.raw`d\:b:*:a\\pp:*:es\:caped\\`,
    'db:5432:app:me:first',
    '*:*:*:me:any',
    '*:*:*:separated:a\u2028b\rc',
  ];
  const env = () => ({ PGPASSFILE: file('pgpass', lines.join('\n')) });

  test.each<[Fields, string | null]>([
    [{ host: 'db', user: 'me', database: 'app' }, 'first'],
    [{ host: 'db', user: 'me', database: 'app', port: 5433 }, 'for any database: on 5433'],
    [{ host: 'd:b', user: 'you', database: 'a\\pp' }, 'es:caped\\'],
    [{ host: 'elsewhere', user: 'me', database: 'app' }, 'any'],
    [{ host: 'elsewhere', user: 'you', database: 'app' }, null],
    [{ host: 'elsewhere', user: 'separated', database: 'app' }, 'a\u2028b\rc'],
    [{ host: 'db', user: 'me', database: 'app', password: 'given' }, 'given'],
  ])('%j: %s', (config, password) => {
    expect(settings(config, env()).password).toBe(password);
  });

  test('is looked for in the home directory', () => {
    file('.pgpass', '*:*:*:*:from home');
    expect(settings({}, { HOME: directory }).password).toBe('from home');
    expect(resolve({}, { HOME: directory }).poolConfig.password).toBe('from home');
  });

  test('gives way to PGPASSWORD, even an empty one', () => {
    expect(settings({ user: 'me' }, { ...env(), PGPASSWORD: 'env' }).password).toBe('env');
    expect(settings({ user: 'me' }, { ...env(), PGPASSWORD: '' }).password).toBeNull();
  });

  test('is not trusted where others can read it', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const PGPASSFILE = file('readable', '*:*:*:*:open');
    chmodSync(PGPASSFILE, 0o640);
    expect(settings({}, { PGPASSFILE }).password).toBeNull();
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('Use chmod 600.'));
    warn.mockRestore();
  });

  test('may be absent', () => {
    expect(settings({}, { PGPASSFILE: '/none' }).password).toBeNull();
  });
});

test('the environment is that of the process unless another is given', () => {
  vi.stubEnv('PGHOST', 'process-host');
  expect(resolveConfig({ databaseConfig: {} }).settings.host).toBe('process-host');
  expect(resolveConnectionString('postgresql:///app').host).toBe('process-host');
});
