import type { JobHandlers } from 'pg-bg-job-queue';
import type { JobPayloadMap } from './queue';
import { sendEmail } from './services/email';
import { generateReport } from './services/generate-report';

export const jobHandlers: JobHandlers<JobPayloadMap> = {
  send_email: async ({ to, subject, body }) => {
    await sendEmail(to, subject, body);
  },
  generate_report: async ({ reportId, userId }) => {
    await generateReport(reportId, userId);
  },
};
