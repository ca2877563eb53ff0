// The exports of the package. Each entry adds its own way to the addon.

export type { DatabaseClient } from './clients/recognise.js';
export type { DatabaseConfig, JobQueueConfig, SslConfig } from './config/types.js';
export { JobQueueError, type JobQueueErrorCode } from './errors/job-queue-error.js';
export type {
  AnyJobOptions,
  DeadLetter,
  DefaultOptions,
  FailureReason,
  IdempotencyHold,
  JobErrorEntry,
  JobId,
  JobOptions,
  JobRecord,
  JobRow,
  JobStatus,
  JobType,
  OnConflict,
  UpsertedJob,
} from './job/types.js';
export { currentJob } from './processor/current-job.js';
export type { JobContext } from './processor/job-context.js';
export { RetryAfter, Unrecoverable } from './processor/retry-errors.js';
export type {
  JobDefinition,
  JobDefinitions,
  JobHandler,
  JobHandlers,
  Processor,
  ProcessorOptions,
  RetryPolicy,
} from './processor/types.js';
export { initJobQueue } from './queue/init-job-queue.js';
export type { AddOptions, CancelFilters, DatabaseOptions, JobQueue } from './queue/types.js';
export { createRouteHandler } from './route/route-handler.js';
export type { RouteHandler, RouteHandlerOptions, RouteResult } from './route/types.js';
