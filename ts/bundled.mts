/** For bundlers that take the condition `module`, and with it ES modules only. */
export { createRouteHandler, currentJob, initJobQueue, JobQueueError } from './bundled.js';
