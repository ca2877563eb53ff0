import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { neonConfig } from '@neondatabase/serverless';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';

/**
 * Neon's driver speaks Postgres's protocol through a WebSocket. This is the other end of it: it
 * passes what comes on to the server that the path names.
 */
export async function startNeonProxy(): Promise<AsyncDisposable> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket, request) => {
    const [host, port] = (request.url ?? '').slice(1).split(':');
    const stream = createWebSocketStream(socket);
    const upstream = connect(Number(port), host);
    stream.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.terminate());
    stream.pipe(upstream).pipe(stream);
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  Object.assign(neonConfig, {
    webSocketConstructor: WebSocket,
    wsProxy: (host: string, upstream: number | string) => `127.0.0.1:${port}/${host}:${upstream}`,
    useSecureWebSocket: false,
    // Neon's servers ask for a clear-text password, and so need not be waited for.
    pipelineConnect: false,
  });
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await once(server, 'close');
    },
  };
}
