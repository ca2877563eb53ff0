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

export interface Proxy extends TestServer {
  /** Where new connections lead from now on. */
  target: Address;
  /**
   * From now on nothing comes through, in either direction, and nobody is told: a cable that was
   * pulled, or a firewall that has forgotten the connection. New connections are accepted, and silent.
   * Until `speak`, which is for connections that are made then.
   */
  silence(): void;
  speak(): void;
  /**
   * From now on an answer that holds this text is lost, together with its connection: what was asked
   * has been done. Until `deliverAnswers`.
   */
  loseAnswers(text: string): void;
  deliverAnswers(): void;
}

/** A way to another server, through a network that fails as a test says. */
export async function openProxy(target: Address): Promise<Proxy> {
  let silent = false;
  let lost: string | null = null;
  const server = await openServer((socket) => {
    const upstream = connect(proxy.target.port, proxy.target.host);
    let mute = silent;
    const isMute = () => {
      mute ||= silent;
      return mute;
    };
    upstream.on('error', () => {});
    socket.on('data', (data) => {
      if (!isMute()) upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (lost !== null && data.includes(lost)) socket.destroy();
      else if (!isMute()) socket.write(data);
    });
    socket.on('close', () => upstream.destroy());
    upstream.on('close', () => {
      if (!isMute()) socket.destroy();
    });
  });
  const proxy: Proxy = Object.assign(server, {
    target,
    silence() {
      silent = true;
    },
    speak() {
      silent = false;
    },
    loseAnswers(text: string) {
      lost = text;
    },
    deliverAnswers() {
      lost = null;
    },
  });
  return proxy;
}

/** Where nothing listens. */
export async function freeAddress(): Promise<Address> {
  await using server = await openServer();
  return server.address;
}
