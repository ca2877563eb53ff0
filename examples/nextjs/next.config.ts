import type { NextConfig } from 'next';

const nextConfig: NextConfig = {
  serverExternalPackages: ['pg-bg-job-queue'],
  // This folder, whatever lock files lie above it.
  turbopack: { root: __dirname },
  // The scheduler of `npm run dev` and the page that refreshes itself would drown all else.
  logging: { incomingRequests: { ignore: [/^\/api\/cron\//, /[?&]_rsc=/] } },
};

export default nextConfig;
