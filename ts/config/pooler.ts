// What stands between this process and Postgres. A pooler in transaction mode gives a client another
// server connection for each transaction, so that nothing may be kept in a session: see
// `src/connect/settings.rs`.

import { quoted } from '../checks/check.js';
import { invalidConfig, isAbsent } from './checks.js';

export type Pooler = 'none' | 'transaction';

/** Where to look for a pooler that nobody has named. */
export interface Address {
  host: string;
  port: number;
  /** The parameters of the connection string. */
  parameters: Readonly<Record<string, string>>;
}

/** Checks the option `pooler`; without it, tells by the address whether there is one in transaction mode. */
export function resolvePooler(given: unknown, address: Address): Pooler {
  if (isAbsent(given)) return isKnownPooler(address) ? 'transaction' : 'none';
  if (given === 'transaction' || given === 'none') return given;
  const got = typeof given === 'string' ? quoted(given) : typeof given;
  throw invalidConfig(`pooler must be 'transaction' or 'none', got ${got}`);
}

function isKnownPooler({ host, port, parameters }: Address): boolean {
  return (
    // How Prisma is told, and what Supabase shows for it.
    parameters.pgbouncer === 'true' ||
    // Supabase: 5432 of the same host keeps a server connection for each client.
    (host.endsWith('.pooler.supabase.com') && port === 6543) ||
    // Neon.
    /-pooler\.[^/]*\.neon\.tech$/.test(host)
  );
}
