/** As much of Next.js as code written for the original uses. */

declare module 'next/server' {
  // With `any` as in the DOM's types, which Next.js is built on; Node's own give `unknown`.
  export interface NextRequest extends Omit<Request, 'json'> {
    json(): Promise<any>;
  }
  export class NextResponse extends Response {
    static json(body: unknown, init?: { status?: number }): NextResponse;
  }
}

declare module 'next/cache' {
  export function revalidatePath(path: string): void;
}
