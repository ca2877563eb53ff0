import type { NextConfig } from 'next';
import { withJobQueue } from 'pg-bg-job-queue/next';

const nextConfig: NextConfig = {
  // This folder, whatever lock files lie above it.
  turbopack: { root: __dirname },
  // The calls of `npm run dev`, and those of the page that refreshes itself, would drown all else.
  logging: { incomingRequests: { ignore: [/^\/api\/cron\//, /[?&]_rsc=/] } },
};

export default withJobQueue(nextConfig);
