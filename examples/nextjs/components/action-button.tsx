'use client';

import { useActionState } from 'react';
import { type FormState, initialFormState } from '@/lib/form-state';
import styles from './action-button.module.css';

interface Props {
  action: (state: FormState, form: FormData) => Promise<FormState>;
  label: string;
  /** For a screen reader, where the label alone does not say of what. */
  description?: string;
  /** The job that the action is about. */
  id?: number;
  kind?: 'primary' | 'danger';
}

/** A form that is one button. It works before, and without, its JavaScript. */
export function ActionButton({ action, label, description, id, kind }: Props) {
  const [state, submit, isPending] = useActionState(action, initialFormState);
  return (
    <form action={submit} className={styles.form}>
      {id !== undefined && <input type="hidden" name="id" value={id} />}
      <button
        type="submit"
        aria-disabled={isPending}
        aria-label={description}
        data-kind={kind}
        onClick={(event) => isPending && event.preventDefault()}
      >
        {label}
      </button>
      <span role="status" className={styles.message}>
        {isPending ? 'Working…' : state.message}
      </span>
    </form>
  );
}
