import { expect, test } from "vitest";
import { draftErrors, type SubjectDraft } from "./subject.ts";

/** JSON that nests this many arrays below the metadata object. */
function nested(levels: number): Readonly<Record<string, unknown>> {
  return JSON.parse(`{"a":${"[".repeat(levels)}${"]".repeat(levels)}}`) as Record<string, unknown>;
}

test.each<[string, Partial<SubjectDraft>]>([
  ["nothing but a key", {}],
  ["a key of any characters", { key: "Ünï cøde/😀 'quoted' \\ \n" }],
  ["a key of 1024 bytes", { key: "é".repeat(512) }],
  ["everything cleared", { displayName: null, metadata: null, stripeCustomerId: null }],
  ["an empty name", { displayName: "" }],
  ["a Stripe id", { stripeCustomerId: "cus_1" }],
  ["metadata of all kinds", { metadata: { a: [1, null, true, { b: "x" }], "": "" } }],
  ["metadata of 32 levels", { metadata: nested(32) }],
])("%s is accepted", (_, draft) => {
  expect(draftErrors([{ key: "a", ...draft }])).toEqual([]);
});

test.each<[string, Partial<SubjectDraft>, string, string]>([
  ["an empty key", { key: "" }, "invalid_key", "$[1].key"],
  ["a key of 1025 bytes", { key: `${"é".repeat(512)}a` }, "invalid_key", "$[1].key"],
  ["NUL in a key", { key: "a\0" }, "invalid_text", "$[1].key"],
  ["half a surrogate pair in a key", { key: "a\ud83d" }, "invalid_text", "$[1].key"],
  ["NUL in a name", { displayName: "\0" }, "invalid_text", "$[1].displayName"],
  ["another Stripe id", { stripeCustomerId: "sub_1" }, "invalid_stripe_customer_id", "$[1].stripeCustomerId"],
  ["an empty Stripe id", { stripeCustomerId: "" }, "invalid_stripe_customer_id", "$[1].stripeCustomerId"],
  ["NUL in a Stripe id", { stripeCustomerId: "cus_\0" }, "invalid_text", "$[1].stripeCustomerId"],
  ["NUL in metadata", { metadata: { a: [{ b: "\0" }] } }, "invalid_text", "$[1].metadata"],
  ["NUL in a key of metadata", { metadata: { a: { "\0": 1 } } }, "invalid_text", "$[1].metadata"],
  ["half a surrogate pair in metadata", { metadata: { a: "\udc00" } }, "invalid_text", "$[1].metadata"],
  ["metadata of 33 levels", { metadata: nested(33) }, "invalid_metadata", "$[1].metadata"],
  ["metadata without bounds", { metadata: nested(200_000) }, "invalid_metadata", "$[1].metadata"],
])("%s is refused", (_, draft, code, field) => {
  expect(draftErrors([{ key: "fine" }, { key: "a", ...draft }])).toMatchObject([{ code, field }]);
});

test("long arrays in metadata are no trouble", () => {
  expect(draftErrors([{ key: "a", metadata: { a: Array.from({ length: 300_000 }, () => "x") } }])).toEqual([]);
});

test("every error of every subject is reported", () => {
  const errors = draftErrors([{ key: "" }, { key: "\0", stripeCustomerId: "x", displayName: "\0" }]);
  expect(errors.map(({ field }) => field)).toEqual([
    "$[0].key",
    "$[1].key",
    "$[1].displayName",
    "$[1].stripeCustomerId",
  ]);
});
