/** A schema as text, from the catalogue: the same text from every version of Postgres. */
import type { ClientBase, Pool } from 'pg';

/**
 * Each gives lines about the relations of `$1`. What is recorded about migrations is left out: in
 * which table it is depends on the tool that ran them, and nothing at run time depends on that.
 */
const queries = [
  // Tables
  `select format('%s %I', case relkind when 'r' then 'table' else relkind::text end, relname)
    || coalesce(' with (' || array_to_string(reloptions, ', ') || ')', '') as line
  from rel where relkind not in ('i', 'S')`,
  // Columns
  `select format('%I.%I %s', relname, attname, format_type(atttypid, atttypmod))
    || case when attnotnull then ' not null' else '' end
    || coalesce(
      case attgenerated when '' then ' default ' else ' generated as ' end
      || pg_get_expr(adbin, adrelid), '') as line
  from rel join pg_attribute on attrelid = rel.oid and attnum > 0 and not attisdropped
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where relkind not in ('i', 'S') order by relname, attnum`,
  // Constraints: since Postgres 18, "not null" (contype n) is one too
  `select format('constraint %I on %I %s', conname, relname, pg_get_constraintdef(con.oid)) as line
  from rel join pg_constraint con on conrelid = rel.oid and contype <> 'n'`,
  // Indexes
  `select replace(pg_get_indexdef(oid), format('%I.', $1::text), '') as line
  from rel where relkind = 'i'`,
  // Sequences
  `select format('sequence %I %s start %s increment %s maxvalue %s owned by %s', relname,
    format_type(seqtypid, null), seqstart, seqincrement, seqmax, (
      select attrelid::regclass || '.' || attname from pg_depend
      join pg_attribute on attrelid = refobjid and attnum = refobjsubid
      where classid = 'pg_class'::regclass and objid = rel.oid and deptype = 'a'
    )) as line
  from rel join pg_sequence on seqrelid = rel.oid`,
  // Triggers and functions
  `select pg_get_triggerdef(tg.oid) as line
  from rel join pg_trigger tg on tgrelid = rel.oid and not tgisinternal`,
  `select pg_get_functiondef(oid) as line from pg_proc
  where pronamespace = to_regnamespace(quote_ident($1)) and prokind in ('f', 'p')`,
].map((query) => (query.includes('order by') ? query : `${query} order by line`));

const relations = `with rel as (
  select * from pg_class where relnamespace = to_regnamespace(quote_ident($1))
    and relname !~ '^(pgmigrations|job_queue_migrations)'
)`;

/** Everything in a schema. Where the schema is not in the search path, names are qualified by it. */
export async function describeSchema(
  client: ClientBase | Pool,
  schema = 'public',
): Promise<string> {
  const parts: string[] = [];
  for (const query of queries) {
    const { rows } = await client.query<{ line: string }>(`${relations} ${query}`, [schema]);
    parts.push(rows.map(({ line }) => `${line}\n`).join(''));
  }
  return parts.filter(Boolean).join('\n');
}
