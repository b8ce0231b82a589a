/**
 * Damage: what the claims index says when a file of its own cannot be trusted.
 *
 * A damaged index must never answer: a claim that is silently forgotten bills an event twice. The index holds nothing that
 * the stored events do not hold as well, so the way out is always the same, and the message says it.
 */

import { dirname } from "node:path";

/** Thrown when a file of the index fails a check; the index refuses to open or to answer any further claim. */
export class DamagedClaims extends Error {
  override readonly name = "DamagedClaims";

  /** `what` says which check failed, as in "the checksum of block 7 does not match". */
  constructor(path: string, what: string, cause?: unknown) {
    super(
      `The claims file ${path} is damaged: ${what}. Stop the process and delete the claims directory ${dirname(path)}: ` +
        "it is rebuilt from stored events at the next start.",
      cause === undefined ? undefined : { cause },
    );
  }
}
