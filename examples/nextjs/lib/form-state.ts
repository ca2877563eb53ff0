/** What a form's server action answers. */
export interface FormState {
  /** Of the whole: what was done, or why it was not. */
  message?: string;
  /** The id of the job that was added. */
  jobId?: number;
  /** Why a field was not accepted, by the field's name. */
  errors?: Record<string, string[] | undefined>;
  /** What was entered, to be entered again. */
  values?: Record<string, string>;
}

export const initialFormState: FormState = {};
