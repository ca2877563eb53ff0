//! Recognising the table that a migration finds. A table of the original's is adopted; a table that merely has the
//! same name belongs to another application, and is left alone.

use super::statement::{Schema, block, literal};

/// The columns of the original's table, each with the types that it may have been given since.
const COLUMNS: &str = "('id', array['integer', 'bigint']),
      ('job_type', array['character varying', 'text']),
      ('payload', array['jsonb']),
      ('status', array['character varying', 'text']),
      ('created_at', array['timestamp with time zone']),
      ('updated_at', array['timestamp with time zone']),
      ('locked_at', array['timestamp with time zone']),
      ('locked_by', array['character varying', 'text']),
      ('attempts', array['integer']),
      ('max_attempts', array['integer']),
      ('next_attempt_at', array['timestamp with time zone']),
      ('priority', array['integer']),
      ('run_at', array['timestamp with time zone']),
      ('pending_reason', array['text', 'character varying']),
      ('error_history', array['jsonb'])";

/// SQL that fails with the reason if the migrations may not change this schema's table.
///
/// dataqueue began with the original's table, and has added columns to it. Its code writes to it in ways of its own.
pub(super) fn recognise(schema: &Schema) -> String {
    let table = schema.qualified("job_queue");
    let advice = "Give the queue a schema of its own, with --schema NAME here and { schema: ''NAME'' } in initJobQueue";
    let name = literal(&table);
    block(&format!(
        "declare
  found record;
  lacking text;
begin
  select relation.oid, relation.relkind::text as kind into found
  from pg_catalog.pg_class relation
  where relation.oid = pg_catalog.to_regclass({name})::oid;
  if found.oid is null then
    return;
  elsif found.kind <> 'r'::text then
    raise '% exists, and is no plain table. {advice}', {name}
      using errcode = 'wrong_object_type';
  end if;
  select pg_catalog.string_agg(expected.name, ', ' order by expected.name) into lacking
  from (
    values
      {COLUMNS}
  ) expected (name, types)
  where not exists (
    select from pg_catalog.pg_attribute attribute
    where attribute.attrelid = found.oid and not attribute.attisdropped
      and attribute.attname::text = expected.name
      and pg_catalog.format_type(attribute.atttypid, null) = any (expected.types)
  );
  if lacking is not null then
    raise 'the table % is another application''s: it lacks columns of a job queue, or has them in other types (%). {advice}',
      {name}, lacking using errcode = 'wrong_object_type';
  elsif exists (
    select from pg_catalog.pg_attribute attribute
    where attribute.attrelid = found.oid and attribute.attname::text = 'last_retried_at'
  ) and not exists (
    select from pg_catalog.pg_attribute attribute
    where attribute.attrelid = found.oid and attribute.attname::text = 'run_no'
  ) then
    raise 'the table % is dataqueue''s, and dataqueue cannot share it. {advice}, and let dataqueue finish its jobs where they are',
      {name} using errcode = 'wrong_object_type';
  end if;
end"
    ))
}
