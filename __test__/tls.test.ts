import { randomUUID } from 'node:crypto';
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientConfig } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DatabaseConfig, initJobQueue } from '../index.js';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { type Certificate, createCertificate } from './helpers/certificates.js';
import { cli, cliOutput } from './helpers/cli.js';
import { createDatabase, type TestDatabase } from './helpers/database.js';

let server: EmbeddedPostgres;
let database: TestDatabase;
let folder: string;
let authority: Certificate;
let stranger: Certificate;
const clients: Record<string, Certificate> = {};

const HOST = 'localhost';
const YESTERDAY = new Date(Date.now() - 24 * 60 * 60 * 1000);

/** Who may come in how: with a certificate only, with that and a password, with a password. */
const ACCESS = `
hostssl all certified 127.0.0.1/32 cert
hostssl all doubled 127.0.0.1/32 scram-sha-256 clientcert=verify-full
host all all 127.0.0.1/32 scram-sha-256
`;

beforeAll(async () => {
  // Of node-postgres, about what sslmode will mean one day.
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  folder = await mkdtemp(join(tmpdir(), 'tls-'));
  authority = await createCertificate('the authority', { isAuthority: true });
  stranger = await createCertificate('another authority', { isAuthority: true });
  for (const name of ['certified', 'doubled', 'someone else']) {
    clients[name] = await createCertificate(name, { signedBy: authority });
  }
  await writeFile(join(folder, 'authority.pem'), authority.cert);
  await writeFile(join(folder, 'stranger.pem'), stranger.cert);

  server = await startPostgres();
  database = await createDatabase({ migrated: false, serverUrl: server.url() });
  await cliOutput(['migrate'], { url: database.url });
  for (const role of ['certified', 'doubled']) {
    await database.query(`create role ${role} login superuser password 'secret'`);
  }
  await writeServerFile('ca.pem', authority.cert);
  await writeFile(join(server.dataDirectory, 'pg_hba.conf'), ACCESS);
  await database.query(`alter system set ssl_ca_file = 'ca.pem'`);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A file that only the server's account can read. */
async function writeServerFile(name: string, content: string): Promise<void> {
  const path = join(server.dataDirectory, name);
  await writeFile(path, content, { mode: 0o600 });
  const { uid, gid } = await stat(server.dataDirectory);
  await chown(path, uid, gid);
}

/** Restarts the server with this certificate, or without TLS. */
async function serve(certificate: Certificate | null): Promise<void> {
  if (certificate) {
    await writeServerFile('server.crt', certificate.cert);
    await writeServerFile('server.key', certificate.key);
  }
  await database.query(`alter system set ssl = ${certificate ? 'on' : 'off'}`);
  await server.restart();
}

type Connected = 'encrypted' | 'plain' | 'refused';

/** What becomes of a connection of node-postgres. */
async function withNodePostgres(config: ClientConfig): Promise<Connected> {
  let client: Client | undefined;
  try {
    client = new Client(config);
    client.on('error', () => {});
    await client.connect();
    const { rows } = await client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
    return rows[0].ssl ? 'encrypted' : 'plain';
  } catch {
    return 'refused';
  } finally {
    await client?.end().catch(() => {});
  }
}

/** What becomes of a connection of ours, and if it is refused, why. */
async function withQueue(
  databaseConfig: DatabaseConfig,
): Promise<{ connected: Connected; error?: Error }> {
  const application_name = randomUUID();
  try {
    await using queue = await initJobQueue({
      databaseConfig: { application_name, ...databaseConfig },
    });
    await queue.getAllJobs();
    const [own] = await database.query<{ ssl: boolean }>(
      `select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = $1`,
      [application_name],
    );
    return { connected: own?.ssl ? 'encrypted' : 'plain' };
  } catch (error) {
    return { connected: 'refused', error: error as Error };
  }
}

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/** Every way to say in a connection string how much TLS there shall be, without and with a root. */
function queries(roots: string[]): string[] {
  const modes = ['', ...MODES.map((mode) => `sslmode=${mode}`), 'ssl=true', 'ssl=0'];
  const compatible = modes.map((mode) => `${mode}&uselibpqcompat=true`);
  return [...modes, ...compatible].flatMap((query) => [
    query,
    ...roots.map((root) => `${query}&sslrootcert=${join(folder, `${root}.pem`)}`),
  ]);
}

function address(query: string, user = 'postgres'): string {
  const password = user === 'postgres' ? server.password : 'secret';
  return `postgresql://${user}:${password}@${HOST}:${server.port}/${database.name}?${query}`;
}

/** The fields `ssl` that there are. */
function fields(): [string, DatabaseConfig['ssl']][] {
  const { cert, key } = clients.certified as Certificate;
  return [
    ['true', true],
    ['false', false],
    ['without verification', { rejectUnauthorized: false }],
    ['the authority', { ca: authority.cert }],
    ['two authorities', { ca: [stranger.cert, authority.cert].join('\n') }],
    ['another authority', { ca: stranger.cert }],
    ['another authority, unverified', { ca: stranger.cert, rejectUnauthorized: false }],
    ['the authority and a certificate', { ca: authority.cert, cert, key }],
  ];
}

/** Servers by their faults, and our message where it matters. */
const servers: [string, () => Promise<Certificate | null>, RegExp][] = [
  [
    'one that is all right',
    () => createCertificate('server', { signedBy: authority, hosts: [HOST, '127.0.0.1'] }),
    /signed by an unknown authority.*ssl\.ca.*sslrootcert/,
  ],
  [
    'one that is for another host',
    () => createCertificate('server', { signedBy: authority, hosts: ['db.example.com'] }),
    /not valid for name "localhost".*db\.example\.com/,
  ],
  [
    'one that has expired',
    () => createCertificate('server', { signedBy: authority, hosts: [HOST], expires: YESTERDAY }),
    /expired/,
  ],
  ['one without TLS', async () => null, /does not support TLS/],
];

describe.each(servers)('with a server, %s,', (_, certificate, complaint) => {
  beforeAll(async () => serve(await certificate()));

  test('a connection string means what it means to node-postgres', async () => {
    const disagreements: unknown[] = [];
    for (const query of queries(['authority', 'stranger'])) {
      const config = { connectionString: address(query) };
      const { connected, error } = await withQueue(config);
      const expected = await withNodePostgres(config);
      if (connected !== expected) disagreements.push({ query, connected, expected, error });
      if (error && 'code' in error && error.code === 'CONNECTION_FAILED') {
        expect(`${query}: ${error.message}`).toMatch(
          new RegExp(`${complaint.source}|signed by an unknown authority`),
        );
        expect(error.message).toContain(`${HOST}:${server.port}`);
      }
    }
    expect(disagreements).toEqual([]);
  });

  test('the field ssl means what it means to node-postgres', async () => {
    const { user, password } = { user: 'postgres', password: server.password };
    const where = { host: HOST, port: server.port, database: database.name, user, password };
    for (const [name, ssl] of fields()) {
      const { connected, error } = await withQueue({ ...where, ssl });
      const expected = await withNodePostgres({ ...where, ssl });
      expect({ name, connected, error }).toEqual({
        name,
        connected: expected,
        error: expected === 'refused' ? expect.any(Error) : undefined,
      });
    }
  });
});

describe('a certificate of the client', () => {
  beforeAll(async () =>
    serve(await createCertificate('server', { signedBy: authority, hosts: [HOST] })),
  );

  const configOf = (user: string, name: string | null): DatabaseConfig => ({
    host: HOST,
    port: server.port,
    database: database.name,
    user,
    password: 'secret',
    ssl: { ca: authority.cert, ...(name === null ? {} : clients[name]) },
  });

  test.each([
    ['certified', 'certified'],
    ['doubled', 'doubled'],
  ])('lets %s in', async (user, name) => {
    expect(await withQueue(configOf(user, name))).toEqual({ connected: 'encrypted' });
    expect(await withNodePostgres(configOf(user, name) as ClientConfig)).toBe('encrypted');
  });

  test.each([
    ['certified', null, /requires a valid client certificate|certificate authentication failed/],
    ['doubled', null, /requires a valid client certificate/],
    ['certified', 'someone else', /certificate authentication failed/],
    ['doubled', 'someone else', /authentication failed/],
  ])('is asked of %s, who has that of %s', async (user, name, cause) => {
    const { connected, error } = await withQueue(configOf(user, name));
    expect(connected).toBe('refused');
    expect(error).toMatchObject({
      code: 'CONNECTION_FAILED',
      sqlState: expect.stringMatching(/^28/),
    });
    expect(error?.message).toMatch(cause);
    expect(await withNodePostgres(configOf(user, name) as ClientConfig)).toBe('refused');
  });

  test('may be in files that the connection string names', async () => {
    const { cert, key } = clients.certified as Certificate;
    await writeFile(join(folder, 'client.crt'), cert);
    await writeFile(join(folder, 'client.key'), key, { mode: 0o600 });
    const files = `sslcert=${join(folder, 'client.crt')}&sslkey=${join(folder, 'client.key')}`;
    const root = `sslrootcert=${join(folder, 'authority.pem')}`;
    const connectionString = address(`sslmode=verify-full&${root}&${files}`, 'certified');
    expect(await withQueue({ connectionString })).toEqual({ connected: 'encrypted' });
    expect(await withNodePostgres({ connectionString })).toBe('encrypted');
  });
});

describe('where OpenSSL and rustls differ', () => {
  /** Whether node-postgres and this package accept a server's certificate, given an authority. */
  async function judge(certificate: Certificate, ca: string) {
    await serve(certificate);
    const config = {
      host: HOST,
      port: server.port,
      database: database.name,
      user: 'postgres',
      password: server.password,
      ssl: { ca },
    };
    const { connected, error } = await withQueue(config);
    return { nodePostgres: await withNodePostgres(config), queue: connected, error };
  }

  test('a certificate that names its host as its common name only is for no host', async () => {
    const certificate = await createCertificate(HOST, { signedBy: authority });
    const { error, ...judged } = await judge(certificate, authority.cert);
    expect(judged).toEqual({ nodePostgres: 'encrypted', queue: 'refused' });
    expect(error?.message).toMatch(/not valid for name "localhost"/);
  });

  test('a certificate that signed itself is accepted as its own authority', async () => {
    const certificate = await createCertificate(HOST, { hosts: [HOST] });
    expect(await judge(certificate, certificate.cert)).toEqual({
      nodePostgres: 'encrypted',
      queue: 'encrypted',
    });
  });

  test('a certificate that signed itself and may sign others is not', async () => {
    const certificate = await createCertificate(HOST, { hosts: [HOST], isAuthority: true });
    const { error, ...judged } = await judge(certificate, certificate.cert);
    expect(judged).toEqual({ nodePostgres: 'encrypted', queue: 'refused' });
    expect(error?.message).toMatch(/marked as an authority's/);
  });
});

describe('the CLI', () => {
  beforeAll(async () =>
    serve(await createCertificate('server', { signedBy: authority, hosts: [HOST] })),
  );

  test('verifies the server as a queue does', async () => {
    const url = (root: string) => address(`sslrootcert=${join(folder, `${root}.pem`)}`);
    expect(await cli(['migrate', 'status'], { url: url('authority') })).toMatchObject({ code: 0 });
    const { code, stderr } = await cli(['migrate', 'status'], { url: url('stranger') });
    expect(code).toBe(1);
    expect(stderr).toMatch(/signed by an unknown authority.*ssl\.ca.*sslrootcert/);
  });
});
