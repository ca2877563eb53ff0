// The password file of libpq, by the rules of the module `pgpass` that node-postgres asks: the place of last
// resort for a password.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What a line of the file is chosen by. */
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

/** The file's text, unless others can read it too: then libpq does not trust it either. */
function readPrivate(path: string): string | null {
  try {
    const { mode } = statSync(path);
    if (process.platform === 'win32' || (mode & 0o077) === 0) return readFileSync(path, 'utf8');
    process.emitWarning(`The password file ${path} is ignored: others can read it. Use chmod 600.`);
  } catch {
    // Having no such file is the usual case.
  }
  return null;
}
