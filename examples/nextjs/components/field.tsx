import { type ComponentProps, useId } from 'react';
import type { FormState } from '@/lib/form-state';
import styles from './field.module.css';

type Props = {
  name: string;
  label: string;
  hint?: string;
  state: FormState;
} & (
  | ({ as?: 'input' } & ComponentProps<'input'>)
  | ({ as: 'textarea' } & ComponentProps<'textarea'>)
  | ({ as: 'select' } & ComponentProps<'select'>)
);

/** A labelled input with its hint and, below it, why the server did not accept what is in it. */
export function Field({ as: Control = 'input', label, hint, state, defaultValue, ...rest }: Props) {
  const id = useId();
  const errors = state.errors?.[rest.name];
  const described = [hint && `${id}-hint`, errors && `${id}-error`].filter(Boolean).join(' ');
  const control = {
    ...rest,
    id,
    defaultValue: state.values?.[rest.name] ?? defaultValue,
    'aria-invalid': errors ? true : undefined,
    'aria-describedby': described || undefined,
  };
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      {/* React does not reset a select to a new default, so it is made anew. The type of Props has
          made sure of which props go with which element. */}
      <Control
        key={String(Control === 'select' && control.defaultValue)}
        {...(control as object)}
      />
      {hint && (
        <p id={`${id}-hint`} className={styles.hint}>
          {hint}
        </p>
      )}
      {errors && (
        <p id={`${id}-error`} className={styles.error}>
          {errors[0]}
        </p>
      )}
    </div>
  );
}
