import { sendEmail } from './services/email';
import { generateReport } from './services/generate-report';
import { type JobPayloadMap } from './queue';

// Object literal mapping for static enforcement.
// This will ensure that every job type defined in `JobPayloadMap` has a corresponding handler, enforced at compile time by TypeScript.
// If you add a new job type to `JobPayloadMap` and forget to add a handler, TypeScript will give you an error.
export const jobHandlers: {
  [K in keyof JobPayloadMap]: (payload: JobPayloadMap[K]) => Promise<void>;
} = {
  send_email: async (payload) => {
    const { to, subject, body } = payload;
    await sendEmail(to, subject, body);
  },
  generate_report: async (payload) => {
    const { reportId, userId } = payload;
    await generateReport(reportId, userId);
  },
};

// The queue initialization code in step 1...
