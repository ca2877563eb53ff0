/** What a process holds, and whether it comes to hold more and more. */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

interface Sample {
  /** How much work was done by then. */
  done: number;
  rss: number;
  heapUsed: number;
}

export interface Growth {
  done: number;
  samples: number;
  rssAtHalf: number;
  rssAtEnd: number;
  /** Bytes per 1,000 of what was done, over the second half, by least squares. */
  rssSlope: number;
  heapSlope: number;
}

export class Memory {
  readonly #samples: Sample[] = [];

  async sample(done: number): Promise<void> {
    // Finalizers run between turns of the event loop, and what they free goes with the next round.
    for (let round = 0; round < 2; round++) {
      global.gc?.();
      await delay(0);
    }
    const { rss, heapUsed } = process.memoryUsage();
    this.#samples.push({ done, rss, heapUsed });
  }

  growth(): Growth {
    const last = this.#samples.at(-1)?.done ?? 0;
    const half = this.#samples.filter(({ done }) => done >= last / 2);
    return {
      done: last,
      samples: this.#samples.length,
      rssAtHalf: half[0]?.rss ?? 0,
      rssAtEnd: half.at(-1)?.rss ?? 0,
      rssSlope: slope(half.map(({ done, rss }) => [done / 1000, rss])),
      heapSlope: slope(half.map(({ done, heapUsed }) => [done / 1000, heapUsed])),
    };
  }
}

/** By least squares, rounded. */
function slope(points: [x: number, y: number][]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  const covariance = mean(points.map(([x, y]) => (x - meanX) * (y - meanY)));
  const variance = mean(points.map(([x]) => (x - meanX) ** 2));
  return Math.round(covariance / variance);
}

export interface Holdings {
  /** What keeps the process alive, by kind. */
  resources: Record<string, number>;
  /** Null where the system does not tell. */
  fileDescriptors: number | null;
  threads: number | null;
}

export async function holdings(): Promise<Holdings> {
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    resources[kind] = (resources[kind] ?? 0) + 1;
  }
  const count = async (folder: string) => (await readdir(folder).catch(() => null))?.length ?? null;
  return {
    resources,
    fileDescriptors: await count('/proc/self/fd'),
    threads: await count('/proc/self/task'),
  };
}
