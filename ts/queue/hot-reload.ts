/**
 * `next dev` evaluates a module anew at every edit of what it imports, and the app's own variable that held
 * the queue is gone. Each time it would leave behind a pool of connections, and workers that run the code
 * of before the edit. So there, and only there, what is opened with the same configuration is the same
 * queue, and a background worker takes the place of its former self.
 */

import { type Plain, toJson } from '../basics/json.js';
import type { ResolvedConfig } from '../config/config.js';
import type { ParsedProcessorOptions } from '../processor/arguments.js';
import { JobProcessor } from '../processor/processor.js';

/** Shared by all copies of this module, of which there is one in each of Next.js's layers. */
const key = Symbol.for('pg-bg-job-queue.developmentQueues');
const shared = globalThis as { [key]?: Map<string, unknown> };

/** Next.js makes this class a global, for what it bundles and for what it leaves to Node.js. */
export function isNextDevelopment(): boolean {
  return process.env.NODE_ENV === 'development' && 'AsyncLocalStorage' in globalThis;
}

/** The open queue of this configuration, or a new one. */
export function sharedQueue<Queue>(config: ResolvedConfig, open: () => Queue): Queue {
  // Two functions cannot be compared: the edit may have changed what they give.
  if (!isNextDevelopment() || config.askPassword !== null) return open();
  shared[key] ??= new Map();
  const { settings, schema, verbose } = config;
  const configuration = toJson({ settings: { ...settings }, schema, verbose });
  const queue = shared[key].get(configuration) ?? open();
  shared[key].set(configuration, queue);
  return queue as Queue;
}

/** To be said of a queue that closes, so that the next one is new. */
export function forgetQueue(queue: unknown): void {
  for (const [configuration, other] of shared[key] ?? []) {
    if (other === queue) shared[key]?.delete(configuration);
  }
}

/** Those that run in the background, by what they do. */
const backgroundProcessors = new WeakMap<object, Map<string, JobProcessor>>();

/** One that stops its predecessor: on the same queue, for the same job types, with the same options. */
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

/** Without the name, which is a random one unless given, and the functions, which are new in each edit. */
function comparable({
  workerId,
  onError,
  onJobFailed,
  ...options
}: ParsedProcessorOptions): Record<string, Plain> {
  return options;
}
