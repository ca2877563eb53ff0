/**
 * Loads the addon where Node.js loads this package from its folder. Each `require` is literal, so that tools which
 * trace a program's files see the files that may be needed. A build in the package's own folder, as in a checkout,
 * comes before the installed one.
 */
import { platform } from './platform.js';
import { addonUnavailable, isDisabled } from './unavailable.js';

const candidates: Record<string, (() => unknown)[]> = {
  'linux-x64-gnu': [
    () => require('../pg-bg-job-queue.linux-x64-gnu.node'),
    () => require('pg-bg-job-queue-linux-x64-gnu'),
  ],
  'linux-x64-musl': [
    () => require('../pg-bg-job-queue.linux-x64-musl.node'),
    () => require('pg-bg-job-queue-linux-x64-musl'),
  ],
  'linux-arm64-gnu': [
    () => require('../pg-bg-job-queue.linux-arm64-gnu.node'),
    () => require('pg-bg-job-queue-linux-arm64-gnu'),
  ],
  'linux-arm64-musl': [
    () => require('../pg-bg-job-queue.linux-arm64-musl.node'),
    () => require('pg-bg-job-queue-linux-arm64-musl'),
  ],
  'darwin-x64': [
    () => require('../pg-bg-job-queue.darwin-x64.node'),
    () => require('pg-bg-job-queue-darwin-x64'),
  ],
  'darwin-arm64': [
    () => require('../pg-bg-job-queue.darwin-arm64.node'),
    () => require('pg-bg-job-queue-darwin-arm64'),
  ],
  'win32-x64-msvc': [
    () => require('../pg-bg-job-queue.win32-x64-msvc.node'),
    () => require('pg-bg-job-queue-win32-x64-msvc'),
  ],
};

export function requireAddon(): unknown {
  const name = platform();
  const tried: string[] = [];
  let cause: unknown;
  for (const candidate of candidates[name] ?? []) {
    try {
      return candidate();
    } catch (error) {
      // The last one is the platform package's, which is where the addon should be.
      cause = error;
      if (isDisabled(error)) break;
      tried.push(firstLine(error));
    }
  }
  throw addonUnavailable({ platform: name, tried, bundled: false, cause });
}

const firstLine = (error: unknown) =>
  String((error as Error)?.message ?? error).split('\n')[0] ?? '';
