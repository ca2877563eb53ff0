/**
 * The obstacles of the crash test to the workers' statements, within the server: triggers that refuse
 * or take long, foreign keys, a unique index. Tables switch them on, and each ends by itself.
 */
import type { Pool } from 'pg';
import type { Random } from './random.js';

/** The changes that a trigger can refuse. */
export const transitions = [
  'claim',
  'count',
  'complete',
  'fail',
  'hand back',
  'recover',
  'extend',
  'delete',
] as const;
export type Transition = (typeof transitions)[number];

export const sqlStates = ['P0001', '23514', '22023', '55P03'];

const tables = `
  -- Which transitions of which jobs are refused, how and until when.
  create table refusal (
    job_id bigint not null,
    transition text not null,
    sqlstate text not null,
    until timestamptz not null
  );
  create index on refusal (job_id);

  -- Only changes by workers are refused: the test itself tidies up.
  create function refuse() returns trigger language plpgsql as $$
  declare
    this text := case
      when tg_op = 'DELETE' then 'delete'
      when new.status = 'processing' and old.status <> 'processing' then 'claim'
      when old.status <> 'processing' then null
      when new.run_no <> old.run_no then 'recover'
      when new.status = 'processing' and new.attempts > old.attempts then 'count'
      when new.status = 'processing' and new.lease_expires_at <> old.lease_expires_at then 'extend'
      when new.status = 'completed' then 'complete'
      when new.status = 'failed' then 'fail'
      when new.status = 'pending' then 'hand back'
    end;
    refused text;
  begin
    if current_setting('application_name') like 'worker-%' then
      select sqlstate into refused from refusal
      where job_id = old.id and transition = this and until > machine_time()
      limit 1;
      if found then
        raise 'this job is refused' using errcode = refused;
      end if;
    end if;
    if tg_op = 'DELETE' then return old; end if;
    return new;
  end
  $$;
  create trigger refuse before update or delete on job_queue for each row execute function refuse();

  -- The worker whose statements are slow, for how long at the most, and until when: the part of that time before
  -- they have locked anything, and the rest when they have done all.
  create table slowness (
    worker text not null,
    ms int not null,
    before float8 not null,
    until timestamptz not null
  );

  -- Once a statement, although one may change the table in several of its parts.
  create function be_slow() returns trigger language plpgsql as $$
  declare
    who text := current_setting('application_name');
    statement text := tg_when || statement_timestamp();
    most float8;
  begin
    if who like 'worker-%' and statement <> coalesce(current_setting('crash_test.' || tg_when, true), '')
    then
      select ms * case tg_when when 'BEFORE' then before else 1 - before end into most from slowness
      where worker = who and until > machine_time() limit 1;
      if found then
        perform set_config('crash_test.' || tg_when, statement, false);
        perform pg_sleep(random() * most / 1000);
      end if;
    end if;
    return null;
  end
  $$;
  create trigger be_slow before update or delete on job_queue for each statement
    execute function be_slow();
  create trigger be_slow_after after update or delete on job_queue for each statement
    execute function be_slow();

  -- The table whose rows refer to jobs for a while.
  create table visit (job_id bigint not null references job_queue (id));
`;

/** One job of this number is refused by a trigger, and one of that is kept by a foreign key. */
const REFUSED_OF = 100;
const KEPT_OF = 50;

/** Chosen by their keys, so that a seed chooses the same ones again. */
const chosen = (seed: number, salt: string, of: number) =>
  `abs(hashtext(new.payload ->> 'key' || '${salt}${seed}')) % ${of}`;

const refusing = (seed: number) => `
  create table still_refusing ();
  insert into still_refusing default values;
  create function be_refused() returns trigger language plpgsql as $$
  begin
    insert into refusal
    select new.id, (array['${transitions.join("', '")}'])[1 + ${chosen(seed, 'transition', transitions.length)}],
      (array['${sqlStates.join("', '")}'])[1 + ${chosen(seed, 'state', sqlStates.length)}],
      machine_time() + interval '2 seconds' + ${chosen(seed, 'time', 18_000)} * interval '1 millisecond'
    where exists (select from still_refusing);
    if found then
      insert into touched values (new.id, 'refuse');
    end if;
    return null;
  end
  $$;
  create trigger be_refused after insert on job_queue for each row
    when (${chosen(seed, 'refuse', REFUSED_OF)} = 0) execute function be_refused();
`;

const keeping = (seed: number) => `
  create table keepsake (job_id bigint not null references job_queue (id));
  create index on keepsake (job_id);
  create function be_kept() returns trigger language plpgsql as $$
  begin
    insert into keepsake values (new.id);
    insert into touched values (new.id, 'keep');
    return null;
  end
  $$;
  create trigger be_kept after insert on job_queue for each row
    when (${chosen(seed, 'keep', KEPT_OF)} = 0) execute function be_kept();
`;

/** Of one name, only one of some twins may wait; of others, only one may wait or run. */
const twins = `
  create unique index waiting_twins on job_queue ((payload ->> 'waiting'))
    where payload ? 'waiting' and status = 'pending';
  create unique index open_twins on job_queue ((payload ->> 'open'))
    where payload ? 'open' and status in ('pending', 'processing');
`;

/** The obstacles that are always there, beside the faults that come and go. */
export const standing = ['refuse', 'keep', 'twins', 'hang'];

export async function putUp(pool: Pool, random: Random, without: Set<string>): Promise<void> {
  const seed = random.between(0, 2 ** 31);
  await pool.query(tables);
  if (!without.has('refuse')) await pool.query(refusing(seed));
  if (!without.has('keep')) await pool.query(keeping(seed));
  if (!without.has('twins')) await pool.query(twins);
}

/** From now on no trigger refuses a change or takes long. The foreign keys to completed jobs stay. */
export async function takeDown(pool: Pool, without: Set<string>): Promise<void> {
  if (!without.has('refuse')) await pool.query('delete from still_refusing');
  await pool.query('delete from refusal; delete from slowness');
}
