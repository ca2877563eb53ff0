/** What is accepted leads where node-postgres goes; what is refused is so without telling the password. */
import { deepStrictEqual } from 'node:assert';
import pg from 'pg';
import { resolveConfig } from '../../ts/config/config.js';
import { JobQueueError } from '../../ts/errors/job-queue-error.js';
import { expectUntold } from '../secret.js';

for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];
process.env.HOME = '/none';
pg.defaults.user = 'os-user';
process.emitWarning = () => {};

export function fuzz(connectionString: string): void {
  // Both read files that a connection string names, and some are endless.
  if (/ssl(?:cert|key|rootcert)/i.test(decodeURIComponentOr(connectionString))) return;
  let ours: unknown;
  try {
    const { settings } = resolveConfig(
      { databaseConfig: { connectionString } },
      { USER: 'os-user' },
    );
    const { host, port, user, database, password, tls } = settings;
    ours = { host, port, user, database, password, tls };
  } catch (error) {
    if (!(error instanceof JobQueueError) || error.code !== 'INVALID_CONFIG') throw error;
    // An unknown parameter of TLS is named, which is no place for a password.
    if (!/ has a parameter \w+ that /.test(error.message)) expectUntold(error.message);
    return;
  }
  deepStrictEqual(ours, nodePostgres(connectionString.trim()));
}

function nodePostgres(connectionString: string) {
  const client = new pg.Client({ connectionString }) as unknown as {
    connectionParameters: Record<string, unknown> & { ssl: pg.ClientConfig['ssl'] };
  };
  const { host, port, user, database, password, ssl } = client.connectionParameters;
  return {
    // In a string that is not encoded, node-postgres leaves an address in its brackets.
    host: String(host).replace(/^\[(.+)\]$/, '$1'),
    port,
    user,
    database,
    password: password || null,
    tls: tlsMode(ssl),
  };
}

function tlsMode(ssl: pg.ClientConfig['ssl']): string {
  if (!ssl) return 'disable';
  if (ssl === true) return 'verify-full';
  if (ssl.rejectUnauthorized === false) return 'encrypt';
  return ssl.checkServerIdentity ? 'verify-ca' : 'verify-full';
}

function decodeURIComponentOr(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
