/** Options of node-postgres that this package cannot honour, and therefore refuses. */

import { refuseConfig } from '../checks/given.js';
import type { Find } from './database-options.js';

/** Each option, with the values that change nothing. `false` and other absent values change nothing either. */
const NOT_HONOURED: Readonly<Record<string, readonly unknown[]>> = {
  Client: [],
  Promise: [],
  allowExitOnIdle: [true],
  binary: [],
  client_encoding: ['utf8', 'UTF8', 'utf-8', 'UTF-8'],
  connection: [],
  enableChannelBinding: [],
  keepAlive: [],
  keepAliveInitialDelayMillis: [0],
  log: [],
  maxUses: [0, Number.POSITIVE_INFINITY],
  min: [0],
  onConnect: [],
  pipeline: [],
  poolSize: [],
  replication: ['false'],
  scramMaxIterations: [],
  sslnegotiation: ['postgres'],
  stream: [],
  types: [],
  verify: [],
};

/** The names of those that node-postgres reads from a connection string. */
export const REFUSED_IN_STRING = ['replication', 'sslnegotiation'];

export function isNotHonoured(option: string): boolean {
  return Object.hasOwn(NOT_HONOURED, option);
}

/** Refuses the first of these options that asks for something. */
export function refuseNotHonoured(find: Find): void {
  for (const [option, harmless] of Object.entries(NOT_HONOURED)) {
    const given = find(option, option === 'sslnegotiation' ? 'PGSSLNEGOTIATION' : null);
    if (given === null || harmless.includes(given.value)) continue;
    refuseConfig(`${given.name} is an option of node-postgres that cannot be honoured here`);
  }
}
