/** Servers that misbehave, on ports of their own. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';

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

export interface TestProxy extends TestServer {
  /** Where new connections lead from now on. */
  target: Address;
  /** From now on nothing gets through in either direction, and neither side is told. */
  silence(): void;
  /** The messages sent meanwhile arrive, and all goes on. */
  resume(): void;
  /**
   * Present connections stay silent for ever; later ones are served. As if a firewall
   * has forgotten its connections: both ends keep them open, and neither hears of the other.
   */
  forget(): void;
  /**
   * From now on an answer that holds this text is lost, together with its connection: the statement
   * has run. Until `deliverAnswers`.
   */
  loseAnswers(text: string): void;
  deliverAnswers(): void;
  /** From now on each piece of a message is late by a random time, in either direction. */
  delay(milliseconds: () => number): void;
  hurry(): void;
}

/** A way to another server, through a network that fails as a test says. */
export async function openProxy(target: Address): Promise<TestProxy> {
  interface Passage {
    stop(): void;
    flow(): void;
  }
  const passages = new Set<Passage>();
  let silent = false;
  let lost: string | null = null;
  let lag: (() => number) | null = null;
  const way = () =>
    new Transform({
      transform(data, _, pass) {
        if (lag) setTimeout(pass, lag(), null, data);
        else pass(null, data);
      },
    });
  const server = await openServer((socket) => {
    const upstream = connect(proxy.target.port, proxy.target.host);
    upstream.on('error', () => {});
    // Before the pipe's own listener, which then writes to nobody.
    upstream.on('data', (data) => {
      if (lost !== null && data.includes(lost)) socket.destroy();
    });
    const [there, back] = [way(), way()];
    const passage = {
      flow() {
        socket.pipe(there).pipe(upstream);
        upstream.pipe(back).pipe(socket);
      },
      // A socket that nobody reads does not tell of its end either.
      stop() {
        for (const from of [socket, there, upstream, back]) from.unpipe().pause();
      },
    };
    passages.add(passage);
    if (silent) passage.stop();
    else passage.flow();
    socket.on('close', () => {
      upstream.destroy();
      passages.delete(passage);
    });
    upstream.on('close', () => socket.destroy());
  });
  const stop = () => {
    for (const passage of passages) passage.stop();
  };
  const proxy: TestProxy = {
    target,
    address: server.address,
    get accepted() {
      return server.accepted;
    },
    cut: server.cut,
    silence() {
      silent = true;
      stop();
    },
    resume() {
      silent = false;
      for (const passage of passages) passage.flow();
    },
    forget() {
      stop();
      passages.clear();
      silent = false;
    },
    loseAnswers(text) {
      lost = text;
    },
    deliverAnswers() {
      lost = null;
    },
    delay(milliseconds) {
      lag = milliseconds;
    },
    hurry() {
      lag = null;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return proxy;
}

/** Where nothing listens. */
export async function freeAddress(): Promise<Address> {
  await using server = await openServer();
  return server.address;
}
