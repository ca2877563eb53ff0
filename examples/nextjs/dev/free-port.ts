import { once } from 'node:events';
import { createServer } from 'node:net';

/** The first port from `port` on that nobody listens on. */
export async function freePort(port: number): Promise<number> {
  const server = createServer();
  try {
    server.listen(port);
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return await freePort(port + 1);
  }
  server.close();
  await once(server, 'close');
  return port;
}
