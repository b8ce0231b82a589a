/**
 * Subjects as entities: what is known about a subject of events besides the text that its events carry. Pure types and
 * rules; see README.md for the meaning.
 */

import type { JsonValue } from "../../engines/state-store/index.ts";
import type { FieldError } from "../../kernel/fault.ts";
import type { Instant } from "../../kernel/instant.ts";

export interface Subject {
  readonly id: string;
  readonly key: string;
  readonly displayName: string | null;
  readonly metadata: SubjectMetadata | null;
  readonly stripeCustomerId: string | null;
  readonly currentPeriodStart: Instant | null;
  readonly currentPeriodEnd: Instant | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}

export type SubjectMetadata = { readonly [key: string]: JsonValue };

/** What a client may say of a subject: undefined leaves a property as it is, null clears it. */
export interface SubjectDraft {
  readonly key: string;
  readonly displayName?: string | null | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | null | undefined;
  readonly stripeCustomerId?: string | null | undefined;
  readonly currentPeriodStart?: Instant | undefined;
  readonly currentPeriodEnd?: Instant | undefined;
}

/** Longer keys do not fit the state store's index; events' subjects are not longer by default either. */
const MAX_KEY_BYTES = 1024;
const STRIPE_CUSTOMER_PREFIX = "cus_";
/** Levels of objects and arrays in metadata; the state store refuses JSON that nests without bounds. */
const MAX_METADATA_DEPTH = 32;

/** Order of keys by their bytes: the order of lists, and that in which everyone who writes several of them takes them. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** What is wrong with a list of drafts beyond the shape of its fields; empty when nothing is. */
export function draftErrors(drafts: readonly SubjectDraft[]): readonly FieldError[] {
  return drafts.flatMap((draft, index) => [
    ...keyErrors(draft.key, `$[${index}].key`),
    ...textErrors(draft.displayName, `$[${index}].displayName`),
    ...stripeErrors(draft.stripeCustomerId, `$[${index}].stripeCustomerId`),
    ...metadataErrors(draft.metadata, `$[${index}].metadata`),
  ]);
}

/** Whether the state store can hold the text: it has neither NUL characters nor halves of surrogate pairs. */
export function isStorableText(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

function keyErrors(key: string, field: string): readonly FieldError[] {
  const bytes = Buffer.byteLength(key);
  if (bytes >= 1 && bytes <= MAX_KEY_BYTES) return textErrors(key, field);
  const message = `the key of a subject must have 1 to ${MAX_KEY_BYTES} bytes, not ${bytes}`;
  return [{ code: "invalid_key", message, field }];
}

function stripeErrors(id: string | null | undefined, field: string): readonly FieldError[] {
  if (id === null || id === undefined || id.startsWith(STRIPE_CUSTOMER_PREFIX)) return textErrors(id, field);
  const message = `stripeCustomerId must start with ${STRIPE_CUSTOMER_PREFIX}, as the ids of Stripe's customers do`;
  return [{ code: "invalid_stripe_customer_id", message, field }];
}

function textErrors(text: string | null | undefined, field: string): readonly FieldError[] {
  if (text === null || text === undefined || isStorableText(text)) return [];
  const message = "the text must not contain the NUL character or half a surrogate pair";
  return [{ code: "invalid_text", message, field }];
}

/** Walks level by level: metadata that nests too deeply must not exhaust the stack before it is refused. */
function metadataErrors(metadata: SubjectDraft["metadata"], field: string): readonly FieldError[] {
  let level: readonly unknown[] = [metadata];
  for (let depth = 0; depth <= MAX_METADATA_DEPTH; depth += 1) {
    const unstorable = level.flatMap(textsOf).find((text) => !isStorableText(text));
    if (unstorable !== undefined) return textErrors(unstorable, field);
    level = level.flatMap((value) => (isContainer(value) ? Object.values(value) : []));
    if (level.length === 0) return [];
  }
  const message = `metadata must not nest more than ${MAX_METADATA_DEPTH} levels deep`;
  return [{ code: "invalid_metadata", message, field }];
}

/** The value itself if it is a text, the keys of an object. */
function textsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return isContainer(value) && !Array.isArray(value) ? Object.keys(value) : [];
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
