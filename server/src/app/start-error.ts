/** Why the server could not start, for the person who started it: a sentence instead of a stack trace. */

export class StartError extends Error {
  override readonly name = "StartError";

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
