/** What the cron service is in production, with less patience: a visitor wants to see jobs move. */
const calls = {
  '/api/cron/process': 2_000,
  '/api/cron/reclaim': 60_000,
  '/api/cron/cleanup': 60_000,
};

export function startScheduler(origin: string, secret: string, signal: AbortSignal): void {
  for (const [path, interval] of Object.entries(calls)) {
    let lastProblem: string | undefined;
    const call = async () => {
      const problem = await problemOf(`${origin}${path}`, secret);
      // The same one again is no news.
      if (problem && problem !== lastProblem) console.warn(`[cron] ${path}: ${problem}`);
      lastProblem = problem;
    };
    // A call that takes long does not hold up the next, as in production.
    const timer = setInterval(call, interval);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }
}

async function problemOf(url: string, secret: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { headers: { authorization: `Bearer ${secret}` } });
    return response.ok ? undefined : `${response.status} ${await response.text()}`;
  } catch {
    // Next.js is starting, or restarts, or ends; it says so itself.
    return undefined;
  }
}
