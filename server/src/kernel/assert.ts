/**
 * Assertions for programmer errors. A failed assertion is a defect in Tallystick, never in a request: it becomes a 500
 * whose log line names the invariant. Reject bad input with a `Fault` instead.
 */

/** Thrown when an invariant does not hold. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/** Throws `InvariantViolation` with the sentence `invariant` unless `condition` holds. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new InvariantViolation(invariant);
}
