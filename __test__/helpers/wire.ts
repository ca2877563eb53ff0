/** What is said between a queue and a server, message by message. */
import { connect, type Socket } from 'node:net';
import { type Address, openServer, type TestServer } from './network.js';

export interface Wiretap extends TestServer {
  /**
   * The types of the messages since the last time, as Postgres's protocol names them: `Q` is a simple
   * query, `Z` says that the answer is complete.
   */
  take(): { asked: string; answers: number };
}

/** A way to another server that counts what passes. Connections without TLS only. */
export async function openWiretap(target: Address): Promise<Wiretap> {
  let [asked, answered] = ['', ''];
  const server = await openServer((socket) => {
    const upstream = connect(target.port, target.host);
    // A client's first message has no type.
    listen(socket, false, (type) => {
      asked += type;
    });
    listen(upstream, true, (type) => {
      answered += type;
    });
    socket.pipe(upstream).pipe(socket);
    upstream.on('error', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  return Object.assign(Object.create(server) as TestServer, {
    take() {
      const taken = { asked, answers: answered.split('Z').length - 1 };
      [asked, answered] = ['', ''];
      return taken;
    },
  });
}

function listen(socket: Socket, typed: boolean, note: (type: string) => void): void {
  let [rest, hasType] = [Buffer.alloc(0), typed];
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk as Buffer]);
    for (;;) {
      const header = hasType ? 1 : 0;
      if (rest.length < header + 4) return;
      const end = header + rest.readUInt32BE(header);
      if (rest.length < end) return;
      if (hasType) note(String.fromCharCode(rest[0] as number));
      rest = rest.subarray(end);
      hasType = true;
    }
  });
}
