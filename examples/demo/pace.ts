const rateWindowMs = 1_500;

/** How fast a number grows, lately. */
export class Rate {
  #samples: { at: number; value: number }[] = [];

  /** Per second. */
  of(value: number): number {
    const at = performance.now();
    this.#samples.push({ at, value });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= rateWindowMs);
    const first = this.#samples[0];
    return first && at > first.at
      ? Math.round(((value - first.value) * 1000) / (at - first.at))
      : 0;
  }
}

/** Longer than a lease. */
const stuckAfterMs = 60_000;

/** Gives up on what no longer moves. */
export class Patience {
  #last = '';
  #changedAt = performance.now();

  check(state: string): void {
    const now = performance.now();
    if (state !== this.#last) this.#changedAt = now;
    this.#last = state;
    if (now - this.#changedAt > stuckAfterMs) {
      throw new Error(`For ${stuckAfterMs / 1000} s nothing has changed: ${state}`);
    }
  }
}
