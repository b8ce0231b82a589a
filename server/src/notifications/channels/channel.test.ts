/** What a channel's draft is refused for beyond the shape of its fields: texts that the state store cannot hold. */

import { expect, test } from "vitest";
import { AddressRules } from "./addresses.ts";
import { channelErrors } from "./channel.ts";

const addresses = new AddressRules({ denyNetworks: [], allowPrivateNetworks: false });
const DRAFT = { name: "a", isDisabled: false, url: "https://example.com/", customHeaders: {}, signingSecret: null };

test.each<readonly [string, Readonly<Record<string, string>>, number]>([
  ["with a pair in key and text", { "\u{1F600}": "\u{1F600}" }, 0],
  ["with a pair cut in two by key and text", { "\ud83d": "\ude00" }, 1],
  ["with NUL in the key", { "\0": "a" }, 1],
])("metadata %s", (_, metadata, count) => {
  expect(channelErrors({ ...DRAFT, metadata }, addresses)).toHaveLength(count);
});
