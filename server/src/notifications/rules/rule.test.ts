/** What a rule's draft is refused for beyond the shape of its fields: texts that the state store cannot hold. */

import { expect, test } from "vitest";
import { ruleErrors } from "./rule.ts";

const DRAFT = { name: "a", isDisabled: false, channels: ["c"], features: [], thresholds: [] };

test.each<readonly [string, Readonly<Record<string, string>>, number]>([
  ["with a pair in key and text", { "\u{1F600}": "\u{1F600}" }, 0],
  ["with a pair cut in two by key and text", { "\ud83d": "\ude00" }, 1],
])("metadata %s", (_, metadata, count) => {
  expect(ruleErrors({ type: "entitlements.reset", ...DRAFT, metadata })).toHaveLength(count);
});
