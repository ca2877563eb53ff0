/**
 * Whether a pooler stands between this process and Postgres. A pooler in transaction mode gives a client another server
 * connection for each transaction, so nothing may be kept in a session: see `src/connect/settings.rs`.
 */

import type { ConnectionSettings } from '../addon/native.js';
import { oneOf } from '../checks/checks.js';
import { setting } from '../checks/given.js';
import { isAbsent } from './absent.js';

export type Pooler = ConnectionSettings['pooler'];

const POOLERS = Object.keys({
  transaction: true,
  none: true,
} satisfies Record<Pooler, true>) as Pooler[];

/** The address by which a pooler is recognised if the configuration does not name one. */
export interface Address {
  host: string;
  port: number;
  /** The parameters of the connection string. */
  parameters: Readonly<Record<string, string>>;
}

/** Checks the option `pooler`. If it is absent, the address tells whether there is a pooler in transaction mode. */
export function resolvePooler(given: unknown, address: Address): Pooler {
  if (isAbsent(given)) return isKnownPooler(address) ? 'transaction' : 'none';
  return oneOf(setting('pooler', given), POOLERS, "'transaction' or 'none'");
}

function isKnownPooler({ host, port, parameters }: Address): boolean {
  return (
    // The parameter that Prisma takes, and that Supabase shows for it.
    parameters.pgbouncer === 'true' ||
    // Supabase: 5432 of the same host keeps a server connection for each client.
    (host.endsWith('.pooler.supabase.com') && port === 6543) ||
    // Neon.
    /-pooler\.[^/]*\.neon\.tech$/.test(host)
  );
}
