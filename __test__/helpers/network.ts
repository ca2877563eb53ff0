/** Servers that misbehave, on ports of their own. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Address {
  host: string;
  port: number;
}

export interface TestServer extends AsyncDisposable {
  address: Address;
  /** How many connections it has accepted. */
  readonly accepted: number;
  /** Ends all connections at once, as a network does that breaks. */
  cut(): void;
}

/** A server that treats each connection as `accept` does; without it, it never says a word. */
export async function openServer(accept: (socket: Socket) => void = () => {}): Promise<TestServer> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    accept(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    get accepted() {
      return sockets.length;
    },
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A way to another server that can be cut. */
export function openProxy(target: Address): Promise<TestServer> {
  return openServer((socket) => {
    const upstream = connect(target.port, target.host);
    upstream.on('error', () => {});
    socket.pipe(upstream).pipe(socket);
    socket.on('close', () => upstream.destroy());
    upstream.on('close', () => socket.destroy());
  });
}

/** Where nothing listens. */
export async function freeAddress(): Promise<Address> {
  await using server = await openServer();
  return server.address;
}
