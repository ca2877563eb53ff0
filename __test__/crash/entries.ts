/** Statements by which the tests of the checker live through a story, right or wrong, job by job. */

export const add = (id: number, type: string, key = `key-${id}`) => `
  insert into job_queue (id, job_type, payload) values (${id}, '${type}', '{"key": "${key}"}')`;
/** With a key. */
export const addKeyed = (id: number, idempotencyKey: string) => `
  ${add(id, 'quick')};
  update ledger set idempotency_key = '${idempotencyKey}' where job_id = ${id};
  ${told(id)}`;
export const told = (id: number) => `insert into told values ('key-${id}', ${id})`;
export const claim = (id: number, worker: string, attempts = 'attempts + 1') => `
  update job_queue
  set status = 'processing', run_no = run_no + 1, attempts = ${attempts}, locked_by = '${worker}',
    locked_at = now(), lease_expires_at = now() + interval '1 second'
  where id = ${id}`;
/** As the last attempt is claimed, which is counted when its handler begins. */
export const claimLast = (id: number, worker: string) => claim(id, worker, 'attempts');
export const count = (id: number) =>
  `update job_queue set attempts = attempts + 1 where id = ${id}`;
/** As a lost run's job is put back, or ended where no attempt is left. */
export const recover = (id: number, status: string) => `
  update job_queue
  set status = '${status}', run_no = run_no + 1, lease_expires_at = null,
    error_history = error_history || '{"name": "WorkerLost", "message": "Worker lost"}'
  where id = ${id}`;
export const endLease = (id: number) => `
  update job_queue set lease_expires_at = now() - interval '1 second' where id = ${id}`;
/** The run begins this number of seconds from now. */
export const begun = (id: number, worker: string, attempt = 1, seconds = 0) => `
  insert into begun
  values (${id}, '${worker}', ${attempt}, clock_timestamp() + interval '${seconds} seconds')`;
export const effect = (id: number, worker: string, what: string, attempt = 1) => `
  insert into effect (job_id, worker, attempt, what)
  values (${id}, '${worker}', ${attempt}, '${what}')`;
export const settle = (id: number, status = 'completed') => `
  update job_queue set status = '${status}', lease_expires_at = null where id = ${id}`;
export const fail = (id: number, message: string) => `
  update job_queue
  set status = 'failed', attempts = max_attempts, lease_expires_at = null,
    error_history = error_history || jsonb_build_object('message', '${message}')
  where id = ${id}`;

/** A dead letter of a job. */
export const bury = (id: number, jobId: number, status: string) => `
  insert into job_queue (id, job_type, payload, status)
  values (${id}, 'buried', '{"originalJob": {"id": ${jobId}}}', '${status}')`;

export const fault = (
  kind: string,
  hits: string,
  worker: string | null,
  from: number,
  to: number,
) => `
  insert into fault values (
    '${kind}', '${hits}', ${worker === null ? 'null' : `'${worker}'`},
    clock_timestamp() + interval '${from} seconds', clock_timestamp() + interval '${to} seconds'
  )`;
