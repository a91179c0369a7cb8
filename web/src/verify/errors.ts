/** What every refusal here is: a stable reason code, one plain sentence, and what to do next (core/errors.py). */
export class HallmarkError extends Error {
  readonly reason: string;
  readonly hint: string;

  constructor(reason: string, message: string, hint = "") {
    super(message);
    this.reason = reason;
    this.hint = hint;
  }
}

/** Runs `work`; a HallmarkError in it becomes the error that `instead` makes of it. Bugs pass through. */
export function translated<T>(work: () => T, instead: (error: HallmarkError) => HallmarkError): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof HallmarkError) throw instead(error);
    throw error;
  }
}

/** The result of `work`, or undefined where it raises a HallmarkError. Bugs pass through. */
export function attempted<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof HallmarkError) return undefined;
    throw error;
  }
}
