/** A built checkout of the package, in any folder. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaults } from '../peers/index.js';
import type { Peer } from '../peers/peer.js';

/** Of it only the tables are made: what it does is `scenarios.ts`. */
export function peerOf(name: string, folder: string): Peer {
  return {
    ...defaults,
    name,
    schema: name,
    async migrate(url) {
      const cli = join(folder, 'cli.js');
      await promisify(execFile)(process.execPath, [cli, 'migrate', '--database', url]);
    },
  };
}
