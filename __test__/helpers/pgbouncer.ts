/** PgBouncer in transaction mode before a server: more clients than connections, each transaction on any. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unprivilegedAccount } from '../../tools/embedded-postgres.js';
import { type Address, freeAddress } from './network.js';
import { findProgram } from './programs.js';
import { until } from './until.js';

export interface PgBouncer extends AsyncDisposable {
  address: Address;
  stop(): Promise<void>;
}

/** How many connections to the server all clients of a database share. */
export const serverConnections = 2;

/**
 * Starts PgBouncer before the server that `serverUrl` names. It lets everybody in, into every database, as
 * the user of that URL. It ends with this process at the latest, however that ends.
 */
export async function startPgBouncer(serverUrl: string): Promise<PgBouncer> {
  const program = findProgram('pgbouncer');
  if (!program) throw new Error('pgbouncer is not installed');
  const address = await freeAddress();
  // It refuses to run as root.
  const account = await unprivilegedAccount();
  const folder = await mkdtemp(join(tmpdir(), 'pgbouncer-'));
  const [settings, log] = [join(folder, 'pgbouncer.ini'), join(folder, 'log')];
  await writeFile(settings, settingsFor(serverUrl, address, log));
  if (account) {
    await chown(folder, account.uid, account.gid);
    await chown(settings, account.uid, account.gid);
  }

  const guard = spawn(process.execPath, ['-e', guardScript, folder, program, settings], {
    cwd: folder,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { ...process.env, NODE_OPTIONS: '', PGBOUNCER_ACCOUNT: JSON.stringify(account ?? {}) },
  });
  const gone = once(guard, 'exit');
  guard.unref();
  const stop = async () => {
    guard.ref();
    guard.stdin.end();
    await gone;
  };
  const isReady = async () => {
    if (guard.exitCode === null) return accepts(address);
    throw new Error(`PgBouncer did not start: ${await readFile(log, 'utf8').catch(String)}`);
  };
  try {
    await until(isReady, { what: 'PgBouncer accepts connections' });
  } catch (error) {
    await stop();
    throw error;
  }
  return { address, stop, [Symbol.asyncDispose]: stop };
}

/**
 * Runs PgBouncer, and ends it and removes its folder when the input closes: when `stop` says so, or this
 * process is no more.
 */
const guardScript = `
  const { spawn } = require('node:child_process');
  const { rmSync } = require('node:fs');
  const [, folder, program, settings] = process.argv;
  const account = JSON.parse(process.env.PGBOUNCER_ACCOUNT);
  const pooler = spawn(program, [settings], { ...account, cwd: folder, stdio: 'ignore' });
  pooler.on('error', () => process.exit(1)).on('exit', (code) => {
    if (process.stdin.readable) process.exit(code || 1);
    rmSync(folder, { recursive: true, force: true });
    process.exit();
  });
  process.stdin.resume().on('close', () => pooler.kill('SIGKILL'));
`;

function settingsFor(serverUrl: string, { host, port }: Address, log: string): string {
  const server = new URL(serverUrl);
  const [user, password] = [server.username, server.password].map(decodeURIComponent);
  return `
    [databases]
    * = host=${server.hostname} port=${server.port || 5432} user=${user} password=${password}
    [pgbouncer]
    listen_addr = ${host}
    listen_port = ${port}
    unix_socket_dir =
    auth_type = any
    pool_mode = transaction
    default_pool_size = ${serverConnections}
    max_client_conn = 1000
    logfile = ${log}
  `.replace(/^ +/gm, '');
}

function accepts({ host, port }: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
