/**
 * The subject hook: a subject that nobody owns gets a customer of its own, so that clients that know only subjects can do
 * what needs a customer.
 *
 * Such a customer is a stand-in: it bears a mark until a client describes it, and as long as it does and nothing is attached
 * to it, it gives way to a customer that a client describes.
 */

import type { Instant } from "../kernel/instant.ts";
import type { Customer } from "./customer.ts";
import type { Subject } from "./subjects/subject.ts";

const CREATED_BY = "tallystick.createdBy";
const BY_SUBJECT = "subject";
/** What clients may call a customer, and its key, in the units of JavaScript's strings. */
const MAX_TEXT = 256;

/** Who is made, and when. */
interface StandInOrigin {
  readonly id: string;
  readonly namespace: string;
  readonly at: Instant;
}

/** The customer of a subject that has none. A subject whose key is too long for a key of customers is a subject key only. */
export function standInFor({ key, displayName }: Subject, { id, namespace, at }: StandInOrigin): Customer {
  const nothing = { description: null, primaryEmail: null, currency: null, billingAddress: null, metadata: null };
  return {
    id,
    namespace,
    key: key.length > MAX_TEXT ? null : key,
    name: nameFrom(displayName === null || displayName === "" ? key : displayName),
    ...nothing,
    annotations: { [CREATED_BY]: BY_SUBJECT },
    subjectKeys: [key],
    createdAt: at,
    updatedAt: at,
    deletedAt: null,
  };
}

/** Whether the customer was made for a subject and no client has described it since. */
export function isStandIn({ annotations }: Pick<Customer, "annotations">): boolean {
  return annotations?.[CREATED_BY] === BY_SUBJECT;
}

/** The annotations of a customer that a client has described. */
export function described(annotations: Customer["annotations"]): Customer["annotations"] {
  const kept = Object.entries(annotations ?? {}).filter(([name]) => name !== CREATED_BY);
  return kept.length === 0 ? null : Object.fromEntries(kept);
}

/** The start of the text that fits a name, without half of a surrogate pair at its end. */
function nameFrom(text: string): string {
  const start = text.slice(0, MAX_TEXT);
  return start.isWellFormed() ? start : start.slice(0, -1);
}
