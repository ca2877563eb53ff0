/** A file of variables says the database that Node.js reads there, or is refused without telling it. */
import { deepStrictEqual } from 'node:assert';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { UsageError } from '../../ts/cli/arguments.js';
import { resolveTarget, VARIABLE } from '../../ts/cli/target.js';
import { resolveConnectionString } from '../../ts/config/config.js';
import { expectUntold } from '../secret.js';

const envFile = join(mkdtempSync(join(tmpdir(), 'fuzz-')), 'env');
const target = { database: undefined, envFile, schema: 'public' };

export function fuzz(text: string): void {
  if (/pgpassfile|home|ssl(?:cert|key|rootcert)/i.test(text)) return;
  writeFileSync(envFile, text);
  let ours: unknown;
  try {
    ours = resolveTarget(target, { USER: 'os-user' }).settings;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    expectUntold(error.message);
    return;
  }
  const variables: NodeJS.Dict<string> = {
    ...parseEnv(text.replace(/^\ufeff/, '')),
    USER: 'os-user',
  };
  deepStrictEqual(ours, resolveConnectionString(variables[VARIABLE] ?? '', variables));
}
