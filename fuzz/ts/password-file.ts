/**
 * A password file gives the password that node-postgres finds in it. The first line of the input says for
 * what: `host:port:database:user`.
 */
import { strictEqual } from 'node:assert';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { passwordOfFile } from '../../ts/config/password-file.js';

interface Entry {
  password: string;
  port: string;
}
const { parseLine, isValidEntry, match } = createRequire(require.resolve('pg'))(
  'pgpass/lib/helper.js',
) as {
  parseLine(line: string): Entry | null;
  isValidEntry(entry: Entry): boolean;
  match(connection: object, entry: Entry): boolean;
};

const PGPASSFILE = join(mkdtempSync(join(tmpdir(), 'fuzz-')), 'pgpass');
writeFileSync(PGPASSFILE, '', { mode: 0o600 });

export function fuzz(text: string): void {
  const [first = '', ...rest] = text.split('\n');
  const [host = '', port = '', database = '', user = ''] = first.split(':');
  const endpoint = { host, port: Number(port), database, user };
  if (!host || !database || !user || !(endpoint.port > 0 && endpoint.port < 65_536)) return;
  const file = rest.join('\n');
  writeFileSync(PGPASSFILE, file);
  const lines = file.split(/\r?\n/);
  // Where that differs from libpq, which is the one to follow: it takes an escaped backslash before a colon
  // for an escaped colon, `0x10` for a port, and ignores short lines and, beside `#`, comments.
  if (lines.some((line) => /\\\\|^\s*#/.test(line) || line.length < 11)) return;
  const entries = lines.map(parseLine).filter((entry) => entry !== null);
  if (entries.some((entry) => !/^(?:\*|[1-9]\d*)$/.test(entry.port))) return;
  const expected = entries.find((entry) => isValidEntry(entry) && match(endpoint, entry));
  strictEqual(passwordOfFile(endpoint, { PGPASSFILE }), expected?.password ?? null);
}
