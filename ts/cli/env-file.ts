/**
 * Reads the file of `--env-file` as Next.js and dotenv-expand read theirs, with references to other variables:
 * `$NAME`, `${NAME}`, `${NAME:-default}`, and `\$` for the character.
 */

import { readFileSync } from 'node:fs';
import * as util from 'node:util';
import { UsageError } from './arguments.js';

/**
 * Gives the variables of the file and those of the environment, which win unless they are empty. Reading a variable
 * looks for the variables that it refers to, and throws `UsageError` if one of them is missing.
 */
export function readEnvFile(path: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const file = new EnvFile(path, env);
  const variables: NodeJS.ProcessEnv = Object.create(null);
  for (const name of file.names) {
    Object.defineProperty(variables, name, { enumerable: true, get: () => file.get(name) });
  }
  return variables;
}

class EnvFile {
  private readonly variables: NodeJS.Dict<string>;

  constructor(
    private readonly path: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {
    this.variables = parse(path);
  }

  get names(): Set<string> {
    return new Set([...Object.keys(this.variables), ...Object.keys(this.env)]);
  }

  /** `from` are the variables whose values led here. */
  get(name: string, from: readonly string[] = []): string | undefined {
    // Variables of the environment have been expanded already.
    if (this.env[name]) return this.env[name];
    if (!Object.hasOwn(this.variables, name)) return undefined;
    if (from.includes(name)) this.refuse(`${name} refers to itself`);
    return this.expand(this.variables[name] ?? '', [...from, name]);
  }

  private expand(text: string, from: readonly string[]): string {
    let expanded = '';
    let at = 0;
    while (at < text.length) {
      const reference = referenceAt(text, at);
      if (reference !== null) {
        expanded += this.valueOf(reference, from);
        at = reference.end;
      } else {
        const escaped = text.startsWith('\\$', at);
        expanded += escaped ? '$' : text[at];
        at += escaped ? 2 : 1;
      }
    }
    return expanded;
  }

  private valueOf({ name, braced, otherwise }: Reference, from: readonly string[]): string {
    const value = this.get(name, from);
    if (value) return value;
    if (otherwise !== undefined) return this.expand(otherwise, from);
    if (value === '') return '';
    // `$word` without braces may be part of a password, as in `pa$word`.
    if (!braced) return `$${name}`;
    return this.refuse(
      `${from.at(-1)} refers to ${name}, which is set neither there nor in the environment`,
    );
  }

  private refuse(problem: string): never {
    throw new UsageError(`--env-file: in ${this.path}, ${problem}`);
  }
}

interface Reference {
  name: string;
  braced: boolean;
  /** The text behind `:-` or `-`. */
  otherwise: string | undefined;
  /** The place at which the reference ends. */
  end: number;
}

const BARE = /^\$([A-Za-z_]\w*)/;
const INSIDE_OF_BRACES = /^([A-Za-z_]\w*)(?::?-([\s\S]*))?$/;

/** The reference that begins at this place, if one does. */
function referenceAt(text: string, at: number): Reference | null {
  if (text[at] !== '$') return null;
  const [whole = '', name] = BARE.exec(text.slice(at)) ?? [];
  if (name !== undefined) {
    return { name, braced: false, otherwise: undefined, end: at + whole.length };
  }
  const end = text[at + 1] === '{' ? closingBrace(text, at) : -1;
  const inside = end < 0 ? null : INSIDE_OF_BRACES.exec(text.slice(at + 2, end));
  if (inside?.[1] === undefined) return null;
  return { name: inside[1], braced: true, otherwise: inside[2], end: end + 1 };
}

/** The place of the closing brace of the reference at `at`. Defaults may have references of their own. */
function closingBrace(text: string, at: number): number {
  let depth = 0;
  for (let place = at + 1; place < text.length; place++) {
    if (text[place] === '{') depth++;
    if (text[place] === '}' && --depth === 0) return place;
  }
  return -1;
}

function parse(path: string): NodeJS.Dict<string> {
  if (typeof util.parseEnv !== 'function') {
    throw new UsageError('--env-file needs Node.js 20.12 or later');
  }
  try {
    return util.parseEnv(readFileSync(path, 'utf8').replace(/^\ufeff/, ''));
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new UsageError(`--env-file: ${path} cannot be read (${reason})`);
  }
}
