import { type Client, hasMethods, type Value } from './client.js';

/** A Prisma client, extended or not, or the `tx` of its `$transaction`. */
export interface PrismaClient {
  $queryRawUnsafe(text: string, ...values: Value[]): PromiseLike<unknown>;
}

export function prisma(value: object): Client | null {
  if (!hasMethods(value, '$queryRawUnsafe')) return null;
  const client = value as PrismaClient;
  return {
    send: (text, values) => client.$queryRawUnsafe(text, ...values),
    // The `tx` of a `$transaction` has a connection already.
    isPool: hasMethods(value, '$connect'),
    beneath,
  };
}

interface PrismaError {
  code?: unknown;
  message?: unknown;
  meta?: {
    /** The server's code, if Prisma's engine is the one in Rust. */
    code?: unknown;
    message?: unknown;
    /** The error of a driver adapter. */
    driverAdapterError?: {
      cause?: { originalCode?: unknown; originalMessage?: unknown; kind?: unknown };
    };
  };
}

/**
 * The error inside Prisma's own, whose codes look like SQLSTATEs, and whose message begins with a piece of the source
 * that called it.
 */
function beneath(thrown: unknown): unknown {
  const { code, message, meta } = (thrown ?? {}) as PrismaError;
  if (typeof message !== 'string') return thrown;
  const cause = meta?.driverAdapterError?.cause;
  const refused = cause?.originalCode ?? meta?.code;
  if (refused !== undefined) {
    const said = String(cause?.originalMessage ?? meta?.message);
    return Object.assign(new Error(said), { code: refused });
  }
  const text = message.trim().split('\n').at(-1);
  const connecting = /^P10/.test(String(code)) || cause?.kind === 'DatabaseNotReachable';
  return new Error(connecting ? `it cannot connect: ${text}` : text);
}
