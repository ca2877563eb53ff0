// What the package exports, whichever way its addon is reached.

export type { DatabaseClient } from './clients/recognise.js';
export { currentJob } from './current-job.js';
export { JobQueueError, type JobQueueErrorCode } from './errors.js';
export { initJobQueue } from './queue.js';
export {
  createRouteHandler,
  type RouteHandler,
  type RouteHandlerOptions,
  type RouteResult,
} from './route-handler.js';
export type {
  AnyJobOptions,
  CancelFilters,
  DatabaseConfig,
  DatabaseOptions,
  JobContext,
  JobErrorEntry,
  JobHandler,
  JobHandlers,
  JobId,
  JobOptions,
  JobQueue,
  JobQueueConfig,
  JobRecord,
  JobRow,
  JobStatus,
  JobType,
  Processor,
  ProcessorOptions,
  SslConfig,
} from './types.js';
