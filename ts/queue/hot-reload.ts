/**
 * Hot reloading. `next dev` evaluates a module anew at every edit of a file that it imports, and the app's variable
 * that held the queue is gone. Each edit would leave behind a pool of connections, and workers that run the code from
 * before the edit. So in `next dev`, and only there, the same configuration gives the same queue, and a background
 * worker replaces its predecessor.
 */

import { type Plain, toJson } from '../basics/json.js';
import type { ResolvedConfig } from '../config/config.js';
import type { ParsedProcessorOptions } from '../processor/arguments.js';
import { JobProcessor } from '../processor/processor.js';

/** All copies of this module share it: there is one in each of Next.js's layers. */
const key = Symbol.for('pg-bg-job-queue.developmentQueues');
const shared = globalThis as { [key]?: Map<string, unknown> };

/** Next.js makes `AsyncLocalStorage` a global, for bundled modules and for those that it leaves to Node.js. */
export function isNextDevelopment(): boolean {
  return process.env.NODE_ENV === 'development' && 'AsyncLocalStorage' in globalThis;
}

/** The open queue of this configuration, or a new one. */
export function sharedQueue<Queue>(config: ResolvedConfig, open: () => Queue): Queue {
  // Functions for a password cannot be compared: the edit may have changed the password that they give.
  if (!isNextDevelopment() || config.askPassword !== null) return open();
  shared[key] ??= new Map();
  const { settings, schema, verbose, retention } = config;
  const defaults =
    config.defaults && [...config.defaults].map(([type, texts]) => [String(type), texts.join('')]);
  const configuration = toJson({ settings: { ...settings }, schema, verbose, defaults, retention });
  const queue = shared[key].get(configuration) ?? open();
  shared[key].set(configuration, queue);
  return queue as Queue;
}

/** Forgets a queue that closes, so that the next one is new. */
export function forgetQueue(queue: unknown): void {
  for (const [configuration, other] of shared[key] ?? []) {
    if (other === queue) shared[key]?.delete(configuration);
  }
}

/** The processors that run in the background, by queue and by task. */
const backgroundProcessors = new WeakMap<object, Map<string, JobProcessor>>();

/** A processor that stops its predecessor: one on the same queue, for the same job types, with the same options. */
export class HotReloadedProcessor extends JobProcessor {
  private readonly registry: Map<string, JobProcessor>;
  private readonly task: string;

  constructor(...args: ConstructorParameters<typeof JobProcessor>) {
    super(...args);
    const [{ queue }, handlers, options] = args;
    this.registry = backgroundProcessors.get(queue) ?? new Map();
    backgroundProcessors.set(queue, this.registry);
    this.task = toJson({ ...comparable(options), handlers: [...handlers.keys()].sort() });
  }

  override startInBackground(): void {
    const predecessor = this.registry.get(this.task);
    if (predecessor !== this) predecessor?.stop();
    this.registry.set(this.task, this);
    super.startInBackground();
  }
}

/**
 * The options without the name, which is random by default, and what belongs to the code, which is new after each edit:
 * the functions and the retry policy.
 */
function comparable({
  workerId,
  onError,
  onJobFailed,
  retry,
  ...options
}: ParsedProcessorOptions): Record<string, Plain> {
  return options;
}
