/**
 * Functions and operators that somebody leaves in the schema of a queue, under the names that its statements
 * use, for argument types that fit better than those of Postgres's own. Nobody may execute them: a statement
 * in which one is found fails, whether it would come to be called or not, and the server's log says so.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type ClientBase } from 'pg';

const root = join(__dirname, '../..');
/** Where the package has its SQL. */
const folders = ['migrations', 'src/store', 'src/connect'];

/** Functions that are called without their names: by syntax, or as a cast. */
const implicit = ['extract', 'timezone', 'date_part', 'int4', 'int8', 'float8', 'text', 'numeric'];

/** As Postgres writes them in its messages. */
const scalars = [
  'text',
  'character varying',
  'smallint',
  'integer',
  'bigint',
  'numeric',
  'double precision',
  'timestamp with time zone',
  'interval',
  'jsonb',
  'json',
  'boolean',
];
const others = ['name', 'xid', 'regclass', 'jsonpath', 'text[]', 'bigint[]', 'integer[]'];
const operators = ['=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '||', '->', '->>', '@>'];
const comparisons = new Set(['=', '<>', '<', '>', '<=', '>=', '@>']);

/** Every text in the sources that looks like a call. The catalogue says which of them are Postgres's. */
export function calledNames(): string[] {
  const names = new Set(implicit);
  for (const folder of folders) {
    for (const file of readdirSync(join(root, folder))) {
      if (!/\.(rs|sql)$/.test(file)) continue;
      const source = readFileSync(join(root, folder, file), 'utf8');
      for (const [, name = ''] of source.matchAll(/\b([a-z_][a-z0-9_]*) ?\(/g)) names.add(name);
    }
  }
  return [...names];
}

/** Lists of argument types by how many there are. */
function signatures(): Map<number, string[][]> {
  const all = [...scalars, ...others];
  const pairs = [
    ...scalars.flatMap((a) => scalars.map((b) => [a, b])),
    ...others.flatMap((other) => ['text', other].map((b) => [other, b])),
  ];
  const triples = all.flatMap((a) => [
    ...scalars.map((b) => [a, b, b]),
    ...scalars.map((b) => [a, a, b]),
  ]);
  // As in an object that is built: names and values by turns.
  const fours = scalars.flatMap((a) => scalars.map((b) => ['text', a, 'text', b]));
  const sixes = fours.map((four) => [...four, 'text', 'text']);
  return new Map([
    [1, all.map((type) => [type])],
    [2, pairs],
    [3, triples],
    [4, fours],
    [6, sixes],
  ]);
}

interface Original {
  name: string;
  /** The type that it returns, if a function of SQL may return it. */
  returns: string;
  /** How many arguments its kinds take, at the least and at the most. */
  least: number;
  most: number;
  /** Of kinds whose arguments can be given by name. */
  names: string[];
}

const originals = `
  select proname::text as name,
    min(case when typtype = 'p' then 'text' else format_type(prorettype, null) end) as returns,
    min(pronargs - pronargdefaults)::int as least,
    max(case when provariadic <> 0 then 6 else pronargs end)::int as most,
    coalesce(array_agg(distinct named.name) filter (where pronargdefaults > 0), '{}') as names
  from pg_proc join pg_type on pg_type.oid = prorettype
    left join lateral unnest(proargnames) named (name) on true
  where pronamespace = 'pg_catalog'::regnamespace and proname = any ($1)
  group by proname`;

/** Its name, its arguments and its result, for each list of types that a call of it may have. */
function functionsLike({ name, returns, least, most, names }: Original): string[][] {
  const made = new Map<string, string[]>();
  for (const [count, lists] of signatures()) {
    if (count < least || count > most) continue;
    for (const types of lists) made.set(types.join(), [name, types.join(), returns]);
  }
  // A function of one argument has one name for it.
  scalars.forEach((type, at) => {
    const argument = names[at % names.length];
    if (argument !== undefined) made.set(type, [name, `"${argument}" ${type}`, returns]);
  });
  return [...made.values()];
}

/** The type that an operator between two types would return. */
function resultOf(operator: string, types: string[]): string {
  if (comparisons.has(operator)) return 'boolean';
  const result = ['timestamp with time zone', 'interval'].find((type) => types.includes(type));
  return result ?? types[0] ?? 'text';
}

/** Plants them, as the role of `url`, and gives how many there are. */
export async function plant(url: string, schema: string): Promise<number> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('alter default privileges revoke execute on functions from public');
    const { rows } = await client.query<Original>(originals, [calledNames()]);
    const functions = rows.flatMap(functionsLike);
    const pairs = scalars.flatMap((left) => scalars.map((right) => [left, right]));
    const planted = operators.flatMap((operator) =>
      pairs.map((types) => [operator, ...types, resultOf(operator, types)]),
    );
    // The statements that create them must not find any of them.
    await client.query("set search_path = ''");
    await client.query(createFunctions(schema, functions));
    await client.query(createOperators(schema, planted));
    return functions.length + planted.length;
  } finally {
    await client.end();
  }
}

const body = `language plpgsql as $f$begin raise 'planted'; end$f$`;

function createFunctions(schema: string, functions: string[][]): string {
  return `do $do$
    declare planted text[];
    begin
      foreach planted slice 1 in array ${arrayOf(functions)} loop
        execute format($c$create function ${schema}.%I(%s) returns %s ${body}$c$,
          planted[1], planted[2], planted[3]);
      end loop;
    end $do$`;
}

/** The function of an operator is named after it, and so it is in a refusal. */
function createOperators(schema: string, operators: string[][]): string {
  return `do $do$
    declare planted text[]; name text;
    begin
      foreach planted slice 1 in array ${arrayOf(operators)} loop
        name := planted[2] || ' ' || planted[1] || ' ' || planted[3];
        execute format($c$create function ${schema}.%I(%s, %s) returns %s ${body}$c$,
          name, planted[2], planted[3], planted[4]);
        execute format(
          'create operator ${schema}.%s (leftarg = %s, rightarg = %s, function = ${schema}.%I)',
          planted[1], planted[2], planted[3], name);
      end loop;
    end $do$`;
}

function arrayOf(rows: string[][]): string {
  const lists = rows.map((row) => `{${row.map((text) => JSON.stringify(text)).join()}}`);
  return `'{${lists.join().replaceAll("'", "''")}}'::text[]`;
}

/**
 * The object that a message of Postgres has found, or could not choose: the name of a function, or an
 * operator between its types, of which `%` is any.
 */
export function foundAs(message: string): string | undefined {
  const refused = /^permission denied for function (.*)/.exec(message);
  const overloaded = /^function (?:\w+\.)?(\w+)\(.*\) is not unique/.exec(message);
  const operator = /^operator is not unique: (.*) ([^\w\s]+) (.*?)(?: at character|$)/.exec(
    message,
  );
  if (operator === null) return refused?.[1] ?? overloaded?.[1];
  const [, left, symbol, right] = operator;
  return left === 'unknown' ? `% ${symbol} ${right}` : `${left} ${symbol} %`;
}

/** Removes the found ones. */
export async function uproot(client: ClientBase, schema: string, found: string): Promise<void> {
  await client.query(
    `do $do$
    declare planted regprocedure;
    begin
      for planted in select oid from pg_catalog.pg_proc
        where pronamespace = '${schema}'::regnamespace and proname like '${found}'
      loop
        execute pg_catalog.format('drop function %s cascade', planted);
      end loop;
    end $do$`,
  );
}
