import { describe, expect, test } from "vitest";
import { contentOf, type CustomerDraft, draftErrors } from "./customer.ts";

const KEYS = "$.usageAttribution.subjectKeys";
const many = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `k${index}`);
const metadata = (count: number) => Object.fromEntries(many(count).map((key) => [key, ""]));

describe("a draft", () => {
  test.each<[string, Partial<CustomerDraft>]>([
    ["nothing but a name", {}],
    ["1000 subject keys", { subjectKeys: many(1000) }],
    ["a subject key of 1024 bytes", { subjectKeys: ["é".repeat(512)] }],
    ["100 entries of metadata", { metadata: metadata(100) }],
    ["the longest metadata", { metadata: { ["k".repeat(256)]: "v".repeat(4096) } }],
    ["a currency of three digits", { currency: "KWD" }],
    ["no metadata", { metadata: null }],
  ])("with %s is accepted", (_, draft) => expect(draftErrors({ name: "n", ...draft })).toEqual([]));

  test.each<[string, Partial<CustomerDraft>, string]>([
    ["NUL in the name", { name: "\0" }, "$.name"],
    ["NUL in the key", { key: "a\0" }, "$.key"],
    ["half a surrogate pair in the description", { description: "\ud83d" }, "$.description"],
    ["NUL in the e-mail", { primaryEmail: "\0" }, "$.primaryEmail"],
    ["NUL in the address", { billingAddress: { city: "\0" } }, "$.billingAddress.city"],
    ["an unknown currency", { currency: "XYZ" }, "$.currency"],
    ["a metal", { currency: "XAU" }, "$.currency"],
    ["NUL in metadata", { metadata: { a: "\0" } }, "$.metadata"],
    ["NUL in a key of metadata", { metadata: { "\0": "a" } }, "$.metadata"],
    ["101 entries of metadata", { metadata: metadata(101) }, "$.metadata"],
    ["a long key of metadata", { metadata: { ["k".repeat(257)]: "" } }, "$.metadata"],
    ["a long text of metadata", { metadata: { k: "v".repeat(4097) } }, "$.metadata"],
    ["1001 subject keys", { subjectKeys: many(1001) }, KEYS],
    ["an empty subject key", { subjectKeys: ["a", ""] }, `${KEYS}[1]`],
    ["a subject key of 1025 bytes", { subjectKeys: [`${"é".repeat(512)}a`] }, `${KEYS}[0]`],
    ["NUL in a subject key", { subjectKeys: ["\0"] }, `${KEYS}[0]`],
  ])("with %s is refused", (_, draft, field) => {
    const errors = draftErrors({ name: "n", ...draft });
    expect(errors.map((error) => error.field)).toEqual([field]);
  });

  test("every violation is told", () => {
    const errors = draftErrors({ name: "\0", currency: "XYZ", subjectKeys: ["", "\0"] });
    expect(errors.map(({ field }) => field)).toEqual(["$.name", "$.currency", `${KEYS}[0]`, `${KEYS}[1]`]);
  });
});

test("subject keys are a set, sorted by bytes and not by UTF-16", () => {
  expect(contentOf({ name: "n", subjectKeys: ["😀", "\uffff", "b", "a", "b"] }).subjectKeys).toEqual([
    "a",
    "b",
    "\uffff",
    "😀",
  ]);
});
