/** For bundlers that take the condition `module`, and with it ES modules only. */
export { currentJob, initJobQueue, JobQueueError } from './bundled.js';
