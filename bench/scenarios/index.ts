import { add, addMany } from './add.js';
import { coldStart } from './cold-start.js';
import { cron } from './cron.js';
import { drain, drainRemoving } from './drain.js';
import { eventLoop } from './event-loop.js';
import { latency } from './latency.js';
import type { Scenario } from './scenario.js';

export const scenarios: readonly Scenario[] = [
  drain,
  drainRemoving,
  cron,
  ...add,
  addMany,
  latency,
  coldStart,
  eventLoop,
];
