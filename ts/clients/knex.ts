import { type Client, hasMethods, type Value } from './client.js';

/** A Knex instance or transaction. */
export interface KnexClient {
  raw(sql: string, bindings: readonly Value[]): PromiseLike<unknown>;
  transaction(run: never): Promise<unknown>;
}

export function knex(value: object): Client | null {
  if (typeof value !== 'function' || !hasMethods(value, 'raw', 'transaction')) return null;
  const knex = value as unknown as KnexClient & { isTransaction?: unknown };
  return {
    isPool: knex.isTransaction !== true,
    send(text, values) {
      const { sql, bindings } = toPlaceholders(text, values);
      return knex.raw(sql, bindings);
    },
    beneath: withoutStatement,
  };
}

/** A quoted name, a literal, a parameter, or a question mark. */
const TOKEN = /"(?:[^"]|"")*"|'(?:[^']|'')*'|\$(\d+)|\?/g;

/**
 * Knex has no `$1`: it counts question marks, wherever they stand. A schema's name may have one, and
 * may have a `$1` that is none.
 */
function toPlaceholders(text: string, values: Value[]): { sql: string; bindings: Value[] } {
  const bindings: Value[] = [];
  const sql = text.replace(TOKEN, (token, parameter?: string) => {
    if (parameter === undefined) return token.replaceAll('?', '\\?');
    bindings.push(values[Number(parameter) - 1] ?? null);
    return '?';
  });
  return { sql, bindings };
}

/** Knex puts the statement before the message, with its bindings where it still finds a `?`. */
function withoutStatement(thrown: unknown): unknown {
  const message = (thrown as { message?: unknown } | null)?.message;
  if (typeof message !== 'string') return thrown;
  const at = message.lastIndexOf(' - ');
  return at < 0
    ? thrown
    : Object.create(thrown as object, { message: { value: message.slice(at + 3) } });
}
