/** The error that says why there is no addon, and what to do about it. */

import { JobQueueError } from '../errors/job-queue-error.js';

const SUPPORTED =
  'Linux (x64, arm64; glibc 2.28 or later, or musl), macOS (x64, arm64) and Windows (x64)';

interface Circumstances {
  platform: string;
  /** Each attempt and how it ended, a line each; empty if there is no binary for the platform. */
  tried: string[];
  /** Whether a bundler has taken this code out of the package's folder. */
  bundled: boolean;
  cause?: unknown;
}

/** The error names the platform, the attempts, and the remedies. */
export function addonUnavailable(circumstances: Circumstances): JobQueueError {
  const { platform, cause } = circumstances;
  const where = `${platform}, Node.js ${process.versions.node}`;
  return new JobQueueError(
    'ADDON_UNAVAILABLE',
    `pg-bg-job-queue cannot load its native addon (${where}). ${explanation(circumstances).join('\n')}`,
    { cause },
  );
}

function explanation({ platform, tried, bundled, cause }: Circumstances): string[] {
  if (isDisabled(cause)) return [withAddonsDisabled()];
  if (tried.length === 0) {
    return [`There is no binary for this platform; there are for ${SUPPORTED}.`];
  }
  return ['Tried:', ...tried.map((attempt) => `  - ${attempt}`), ...remedies(platform, bundled)];
}

/** Whether Node.js was told to load no addons at all. Then there is no use in looking for the file elsewhere. */
export function isDisabled(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ERR_DLOPEN_DISABLED';
}

function withAddonsDisabled(): string {
  const cause =
    'permission' in process
      ? "Node.js's permission model is on, and allows no addons: start Node.js with --allow-addons too"
      : 'Node.js was started with --no-addons: start it without';
  return `${cause}. The option may be in NODE_OPTIONS, or in the execArgv of a worker thread.`;
}

function remedies(platform: string, bundled: boolean): string[] {
  const [os, cpu, libc] = platform.split('-');
  const flags = [`--os=${os}`, `--cpu=${cpu}`];
  if (os === 'linux') flags.push(`--libc=${libc === 'musl' ? 'musl' : 'glibc'}`);
  const remedies = [
    `The binary is in the optional dependency pg-bg-job-queue-${platform}. Do what fits:`,
    '  - installed without optional dependencies: run `npm install --include=optional`;',
    '  - installed on another platform than it runs on: install there, or run ' +
      `\`npm install ${flags.join(' ')}\`;`,
    '  - the lock file was made on another platform: delete it and node_modules, and install again;',
  ];
  if (bundled) {
    remedies.push(
      '  - built by Next.js: wrap the config in withJobQueue from pg-bg-job-queue/next;',
      '  - bundled by something else: mark pg-bg-job-queue as external, and deploy node_modules with the bundle.',
    );
  } else {
    remedies.push(
      '  - copied to where it runs: copy that package along, beside pg-bg-job-queue in node_modules.',
    );
  }
  return remedies;
}
