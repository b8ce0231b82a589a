/**
 * Customers: types and the rules that need no state. Who else has a key is the store's business; see README.md for the
 * meaning.
 */

import type { JsonValue, StoredAddress, StringMap } from "../engines/state-store/index.ts";
import { fiatCurrency } from "../kernel/currency.ts";
import type { FieldError } from "../kernel/fault.ts";
import type { Instant } from "../kernel/instant.ts";
import { compareKeys, isStorableText } from "./subjects/subject.ts";

export interface Customer {
  readonly id: string;
  readonly namespace: string;
  /** Your own name for the customer; unique among live customers. */
  readonly key: string | null;
  readonly name: string;
  readonly description: string | null;
  readonly primaryEmail: string | null;
  /** ISO 4217 code. */
  readonly currency: string | null;
  readonly billingAddress: StoredAddress | null;
  readonly metadata: StringMap | null;
  readonly annotations: { readonly [key: string]: JsonValue } | null;
  /** Subjects of events besides the key, sorted by their bytes; of a deleted customer the last ones. */
  readonly subjectKeys: readonly string[];
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}

/** A customer as a client describes it; what is left out, the customer does not have. */
export interface CustomerDraft {
  readonly name: string;
  readonly key?: string | undefined;
  readonly description?: string | undefined;
  readonly primaryEmail?: string | undefined;
  readonly currency?: string | undefined;
  readonly billingAddress?: { readonly [Part in keyof StoredAddress]?: string | undefined } | undefined;
  readonly metadata?: StringMap | null | undefined;
  /** In any order; repeats are ignored. */
  readonly subjectKeys?: readonly string[] | undefined;
}

/** What a draft says of a customer, with nothing left open. */
export type CustomerContent = Pick<
  Customer,
  "key" | "name" | "description" | "primaryEmail" | "currency" | "billingAddress" | "metadata" | "subjectKeys"
>;

/** One change of a customer, as those who take part in it or hear of it see it. */
export interface CustomerChange {
  readonly before: Customer | null;
  readonly after: Customer;
  /** This customer, and every other one whose usage changes by it. */
  readonly customerIds: readonly string[];
  /** The subjects whose owner may be another one now. */
  readonly subjects: readonly string[];
}

/** A subject key is the subject of events, which is not longer by default; longer ones do not fit the store's index. */
const MAX_SUBJECT_KEY_BYTES = 1024;
const MAX_SUBJECT_KEYS = 1000;
const MAX_METADATA_ENTRIES = 100;
const MAX_METADATA_KEY = 256;
const MAX_METADATA_TEXT = 4096;

/** What is wrong with a draft beyond the shape of its fields; empty when nothing is. */
export function draftErrors(draft: CustomerDraft): readonly FieldError[] {
  const texts: readonly (readonly [string, string | undefined])[] = [
    ["$.name", draft.name],
    ["$.key", draft.key],
    ["$.description", draft.description],
    ["$.primaryEmail", draft.primaryEmail],
    ...Object.entries(draft.billingAddress ?? {}).map(([part, text]) => [`$.billingAddress.${part}`, text] as const),
  ];
  return [
    ...texts.flatMap(([field, text]) => textErrors(text, field)),
    ...currencyErrors(draft.currency),
    ...metadataErrors(draft.metadata ?? {}),
    ...subjectKeyErrors(draft.subjectKeys ?? []),
  ];
}

/** The content that a draft without errors describes. */
export function contentOf(draft: CustomerDraft): CustomerContent {
  return {
    key: draft.key ?? null,
    name: draft.name,
    description: draft.description ?? null,
    primaryEmail: draft.primaryEmail ?? null,
    currency: draft.currency ?? null,
    billingAddress: draft.billingAddress === undefined ? null : addressOf(draft.billingAddress),
    metadata: draft.metadata ?? null,
    subjectKeys: sortedKeys(draft.subjectKeys ?? []),
  };
}

/** Each key once, in the order of their bytes, which is the order of the store. */
export function sortedKeys(keys: Iterable<string>): readonly string[] {
  return [...new Set(keys)].toSorted(compareKeys);
}

/** The subjects that a customer claims, alive or not: its key and its subject keys. */
export function claimedSubjects({ key, subjectKeys }: Pick<Customer, "key" | "subjectKeys">): readonly string[] {
  return key === null ? subjectKeys : [...new Set([key, ...subjectKeys])];
}

function addressOf(parts: NonNullable<CustomerDraft["billingAddress"]>): StoredAddress {
  return Object.fromEntries(Object.entries(parts).filter(([, text]) => text !== undefined));
}

function textErrors(text: string | undefined, field: string): readonly FieldError[] {
  if (text === undefined || isStorableText(text)) return [];
  const message = `"${field.slice(2)}" must not contain the NUL character or half a surrogate pair`;
  return [{ code: "invalid_text", message, field }];
}

function currencyErrors(code: string | undefined): readonly FieldError[] {
  if (code === undefined || fiatCurrency(code) !== null) return [];
  const message = `currency ${code} is not known; use an ISO 4217 code such as USD, as GET /api/v1/info/currencies lists them`;
  return [{ code: "unknown_currency", message, field: "$.currency" }];
}

function metadataErrors(metadata: StringMap): readonly FieldError[] {
  const entries = Object.entries(metadata);
  const invalid = (message: string): FieldError => ({ code: "invalid_metadata", message, field: "$.metadata" });
  if (entries.length > MAX_METADATA_ENTRIES) {
    return [invalid(`metadata must have at most ${MAX_METADATA_ENTRIES} entries, not ${entries.length}`)];
  }
  return entries.flatMap(([key, text]) => {
    if (!isStorableText(key) || !isStorableText(text)) {
      return [invalid("metadata must not contain the NUL character or half a surrogate pair")];
    }
    if (key.length <= MAX_METADATA_KEY && text.length <= MAX_METADATA_TEXT) return [];
    const name = JSON.stringify(key.slice(0, 40));
    return [
      invalid(
        `metadata ${name} is too long: keys have at most ${MAX_METADATA_KEY} characters, texts ${MAX_METADATA_TEXT}`,
      ),
    ];
  });
}

function subjectKeyErrors(keys: readonly string[]): readonly FieldError[] {
  const field = "$.usageAttribution.subjectKeys";
  if (keys.length > MAX_SUBJECT_KEYS) {
    const message = `a customer has at most ${MAX_SUBJECT_KEYS} subject keys, not ${keys.length}`;
    return [{ code: "too_many_subject_keys", message, field }];
  }
  return keys.flatMap((key, index) => {
    const bytes = Buffer.byteLength(key);
    if (bytes >= 1 && bytes <= MAX_SUBJECT_KEY_BYTES) return textErrors(key, `${field}[${index}]`);
    const message = `a subject key must have 1 to ${MAX_SUBJECT_KEY_BYTES} bytes, not ${bytes}`;
    return [{ code: "invalid_subject_key", message, field: `${field}[${index}]` }];
  });
}
