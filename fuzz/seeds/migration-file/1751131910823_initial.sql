-- The table as the first versions of this package made it. A database that has it already, from
-- them or from node-pg-migrate, keeps it and its rows.

-- Up Migration
create table if not exists job_queue (
  id serial primary key,
  job_type varchar(255) not null,
  payload jsonb not null,
  status varchar(50) default 'pending',
  created_at timestamptz default current_timestamp,
  updated_at timestamptz default current_timestamp,
  locked_at timestamptz,
  locked_by varchar(255),
  attempts int default 0,
  max_attempts int default 3,
  next_attempt_at timestamptz,
  priority int default 0,
  run_at timestamptz default current_timestamp,
  pending_reason text,
  error_history jsonb default '[]'::jsonb
);

create index if not exists idx_job_queue_status on job_queue (status);
create index if not exists idx_job_queue_next_attempt on job_queue (next_attempt_at);
create index if not exists idx_job_queue_run_at on job_queue (run_at);
create index if not exists idx_job_queue_priority on job_queue (priority);

-- Down Migration
drop table if exists job_queue;
