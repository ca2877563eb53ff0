'use client';

import Link from 'next/link';
import { type ReactNode, useActionState, useEffect, useRef } from 'react';
import { type FormState, initialFormState } from '@/lib/form-state';
import styles from './job-form.module.css';

interface Props {
  action: (state: FormState, form: FormData) => Promise<FormState>;
  submit: string;
  kind?: 'primary' | 'danger';
  /** The fields, for the state that the last submission has led to. */
  children: (state: FormState) => ReactNode;
}

/** A form around a server action: it shows what the action answers, and works without JavaScript. */
export function JobForm({ action, submit, kind = 'primary', children }: Props) {
  const [state, dispatch, isPending] = useActionState(action, initialFormState);
  const form = useRef<HTMLFormElement>(null);

  useEffect(() => {
    if (state.errors) form.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus();
  }, [state]);

  return (
    // The server validates, with its own messages, and also for callers without this form.
    <form ref={form} action={dispatch} className={styles.form} noValidate>
      {children(state)}
      <div className={styles.footer}>
        <button
          type="submit"
          data-kind={kind}
          aria-disabled={isPending}
          onClick={(event) => isPending && event.preventDefault()}
        >
          {isPending ? 'Working…' : submit}
        </button>
        <p role="status" className={styles.message} data-refused={state.errors ? true : undefined}>
          {state.message}
          {state.jobId !== undefined && (
            <>
              {' '}
              <Link href={`/jobs/${state.jobId}`}>job {state.jobId}</Link>
            </>
          )}
        </p>
      </div>
    </form>
  );
}
