import { createRouteHandler } from 'pg-bg-job-queue';
import { jobHandlers } from '@/lib/job-handlers';
import { getJobQueue } from '@/lib/queue';

/** How long the platform lets an invocation run, in seconds. */
export const maxDuration = 60;

/** The three other routes in one: runs jobs until none is due, reclaims, cleans up. */
export const { GET, POST } = createRouteHandler(getJobQueue, jobHandlers, { maxDuration: 60 });
