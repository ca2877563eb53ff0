/** The columns that a role which only adds jobs has to write. */
export const GIVEN_COLUMNS =
  'job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold';
