'use server';

// In an app of yours, check here who is asking: a server action is a public endpoint.

import { revalidatePath } from 'next/cache';
import { JobQueueError } from 'pg-bg-job-queue';
import { z } from 'zod';
import { isDevelopment } from '@/lib/environment';
import type { FormState } from '@/lib/form-state';
import { jobHandlers } from '@/lib/job-handlers';
import { getJobQueue } from '@/lib/queue';

const wholeNumber = 'Enter a whole number.';

/** What both forms ask for: the priority, and how many seconds to wait. */
const scheduling = {
  priority: z.coerce
    .number(wholeNumber)
    .int(wholeNumber)
    .min(-100, 'Enter -100 or more.')
    .max(100, 'Enter 100 or less.'),
  delay: z.coerce
    .number(wholeNumber)
    .int(wholeNumber)
    .min(0, 'Enter 0 or more seconds.')
    .max(86_400, 'Enter 86400 seconds (a day) or less.'),
};

const text = (missing: string, longest: number) =>
  z.string().trim().min(1, missing).max(longest, `Enter ${longest} characters or less.`);

const emailForm = z.object({
  to: z.string().trim().pipe(z.email('Enter an address such as ada@example.com.')),
  subject: text('Enter a subject.', 200),
  body: text('Enter a message.', 5_000),
  ...scheduling,
});

const reportForm = z.object({
  reportId: text('Enter the name of the report.', 100),
  userId: text('Enter the user it is for.', 100),
  ...scheduling,
});

export async function addEmail(_: FormState, form: FormData): Promise<FormState> {
  const values = entered(form);
  const { success, data, error } = emailForm.safeParse(values);
  if (!success) return refused(error, values);
  const { priority, delay, ...payload } = data;
  return answering(async (queue) => {
    const jobId = await queue.addJob({
      job_type: 'send_email',
      payload,
      priority, // higher runs first
      run_at: inSeconds(delay),
    });
    return { jobId, message: 'Email added as' };
  }, values);
}

export async function addReport(_: FormState, form: FormData): Promise<FormState> {
  const values = entered(form);
  const { success, data, error } = reportForm.safeParse(values);
  if (!success) return refused(error, values);
  const { priority, delay, ...payload } = data;
  return answering(async (queue) => {
    const { id, outcome } = await queue.upsertJob({
      job_type: 'generate_report',
      payload,
      priority,
      run_at: inSeconds(delay),
      // Whoever presses the button twice gets one report: until it is ready, no other is added.
      idempotency_key: `${payload.reportId} for ${payload.userId}`,
    });
    const message =
      outcome === 'added' ? 'Report added as' : 'This report is on its way already, as';
    return { jobId: id, message };
  }, values);
}

export async function cancelJob(_: FormState, form: FormData): Promise<FormState> {
  return answering(async (queue) => {
    await queue.cancelJob(String(form.get('id')));
    return {};
  });
}

export async function retryJob(_: FormState, form: FormData): Promise<FormState> {
  return answering(async (queue) => {
    await queue.retryJob(String(form.get('id')));
    return {};
  });
}

const filterForm = z.object({
  type: z.enum(['', 'send_email', 'generate_report']),
  priority: z.union([z.literal(''), scheduling.priority], wholeNumber),
});

export async function cancelUpcoming(_: FormState, form: FormData): Promise<FormState> {
  const values = entered(form);
  const { success, data, error } = filterForm.safeParse(values);
  if (!success) return refused(error, values);
  return answering(async (queue) => {
    // An absent filter does not restrict; two must both match.
    const count = await queue.cancelAllUpcomingJobs({
      job_type: data.type === '' ? undefined : data.type,
      priority: data.priority === '' ? undefined : data.priority,
    });
    return { message: count === 1 ? 'Cancelled 1 job.' : `Cancelled ${count} jobs.`, values };
  }, values);
}

/** For a visitor who does not want to wait for the cron job; nobody else may. */
export async function processNow(_: FormState): Promise<FormState> {
  if (!isDevelopment) return { message: 'Only in development: in production cron does this.' };
  return answering(async (queue) => {
    const count = await queue.createProcessor(jobHandlers, { workerId: 'by-hand' }).start();
    return { message: count === 1 ? 'Ran 1 job.' : `Ran ${count} jobs.` };
  });
}

const inSeconds = (delay: number) => (delay > 0 ? new Date(Date.now() + delay * 1_000) : null);

/** The fields of a form; React adds some of its own. */
const entered = (form: FormData) =>
  Object.fromEntries(
    [...form].filter(
      (field): field is [string, string] =>
        !field[0].startsWith('$ACTION') && typeof field[1] === 'string',
    ),
  );

const refused = (error: z.ZodError, values: Record<string, string>): FormState => ({
  message: 'Please correct what is marked.',
  errors: z.flattenError(error).fieldErrors,
  values,
});

/** Does `work`, has every page show it, and tells the visitor of an error in place of failing. */
async function answering(
  work: (queue: Awaited<ReturnType<typeof getJobQueue>>) => Promise<FormState>,
  values?: Record<string, string>,
): Promise<FormState> {
  try {
    const state = await work(await getJobQueue());
    revalidatePath('/', 'layout');
    return state;
  } catch (error) {
    if (error instanceof JobQueueError && error.code === 'JOB_RUNNING') {
      return { message: 'A worker is running this job right now.', values };
    }
    console.error('A job action failed:', error);
    return { message: 'That did not work. The log of the server says why.', values };
  }
}
