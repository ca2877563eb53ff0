/**
 * The password file of libpq, by the rules of node-postgres's module `pgpass`: the last place to look for a password.
 */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The connection that a line of the file has to match. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** The password on the first line that matches, or `null`. */
export function passwordOfFile(endpoint: Endpoint, env: NodeJS.ProcessEnv): string | null {
  const path = passwordFile(env);
  const content = path === null || env.PGPASSWORD !== undefined ? null : readPrivate(path);
  const { host, port, database, user } = endpoint;
  const wanted = [host, String(port), database, user];
  for (const line of content?.split(/\r?\n/) ?? []) {
    const [, ...fields] = LINE.exec(line)?.map(withoutEscapes) ?? [];
    const password = fields.pop();
    if (password && wanted.every((value, i) => fields[i] === '*' || fields[i] === value)) {
      return password;
    }
  }
  return null;
}

/** `host:port:database:user:password`, with `\:` and `\\` for the characters themselves. */
const LINE = /^(?!#)((?:\\.|[^:\\])+):((?:\\.|[^:\\])+):((?:\\.|[^:\\])+):((?:\\.|[^:\\])+):(.+)$/s;

function withoutEscapes(field: string): string {
  return field.replace(/\\([:\\])/g, '$1');
}

function passwordFile(env: NodeJS.ProcessEnv): string | null {
  if (env.PGPASSFILE) return env.PGPASSFILE;
  if (process.platform !== 'win32') return env.HOME ? join(env.HOME, '.pgpass') : null;
  return env.APPDATA ? join(env.APPDATA, 'postgresql', 'pgpass.conf') : null;
}

/** The file's text, or `null` if others can read it too: libpq does not trust it then either. */
function readPrivate(path: string): string | null {
  try {
    const { mode } = statSync(path);
    if (process.platform === 'win32' || (mode & 0o077) === 0) return readFileSync(path, 'utf8');
    process.emitWarning(`The password file ${path} is ignored: others can read it. Use chmod 600.`);
  } catch {
    // Most users have no password file.
  }
  return null;
}
