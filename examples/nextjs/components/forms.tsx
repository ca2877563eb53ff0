'use client';

import { addEmail, addReport, cancelUpcoming } from '@/app/jobs/actions';
import type { FormState } from '@/lib/form-state';
import { Field } from './field';
import styles from './forms.module.css';
import { JobForm } from './job-form';

/** The three forms beside the list, one of them open at a time. */
export function Forms() {
  return (
    <div className={styles.forms}>
      <Fold title="Send an email" open>
        <EmailForm />
      </Fold>
      <Fold title="Generate a report">
        <ReportForm />
      </Fold>
      <Fold title="Cancel upcoming jobs">
        <CancelForm />
      </Fold>
    </div>
  );
}

function Fold(props: { title: string; open?: boolean; children: React.ReactNode }) {
  return (
    <details name="forms" open={props.open} className={styles.fold}>
      <summary>
        <h2>{props.title}</h2>
      </summary>
      <div className={styles.content}>{props.children}</div>
    </details>
  );
}

function EmailForm() {
  return (
    <JobForm action={addEmail} submit="Add email">
      {(state) => (
        <>
          <Field
            name="to"
            label="To"
            type="email"
            autoComplete="off"
            placeholder="ada@example.com"
            hint="fail@example.com always fails; flaky@example.com fails once; gone@example.com is given up at once."
            state={state}
          />
          <Field name="subject" label="Subject" defaultValue="Welcome!" state={state} />
          <Field
            as="textarea"
            name="body"
            label="Message"
            rows={3}
            defaultValue="Good to have you."
            state={state}
          />
          <Scheduling state={state} />
        </>
      )}
    </JobForm>
  );
}

function ReportForm() {
  return (
    <JobForm action={addReport} submit="Add report">
      {(state) => (
        <>
          <Field
            name="reportId"
            label="Report"
            placeholder="sales-2026"
            hint="Takes four seconds to generate."
            autoComplete="off"
            state={state}
          />
          <Field
            name="userId"
            label="For user"
            placeholder="ada"
            autoComplete="off"
            state={state}
          />
          <Scheduling state={state} />
        </>
      )}
    </JobForm>
  );
}

function Scheduling({ state }: { state: FormState }) {
  return (
    <div className={styles.pair}>
      <Field
        name="priority"
        label="Priority"
        type="number"
        defaultValue="0"
        hint="Higher runs first."
        state={state}
      />
      <Field
        name="delay"
        label="Delay"
        type="number"
        min={0}
        defaultValue="0"
        hint="Seconds to wait."
        state={state}
      />
    </div>
  );
}

function CancelForm() {
  return (
    <JobForm action={cancelUpcoming} submit="Cancel them" kind="danger">
      {(state) => (
        <>
          <p className="muted">Cancels the pending jobs that match both.</p>
          <div className={styles.pair}>
            <Field as="select" name="type" label="Type" state={state}>
              <option value="">Any</option>
              <option value="send_email">Email</option>
              <option value="generate_report">Report</option>
            </Field>
            <Field name="priority" label="Priority" type="number" placeholder="Any" state={state} />
          </div>
        </>
      )}
    </JobForm>
  );
}
