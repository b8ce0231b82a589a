/** A token that was revoked here is never answered from memory, whatever a look-up found meanwhile. */

import { expect, test } from "vitest";
import { instantFromMicros } from "../kernel/instant.ts";
import { TokenMemory } from "./token-memory.ts";
import type { PortalToken } from "./token-store.ts";

const NOW = instantFromMicros(1_767_225_600_000_000);
const token = (lastUsedAt: PortalToken["lastUsedAt"]) => ({ id: "1", lastUsedAt }) as PortalToken;

test("a look-up that a revocation overlaps is not remembered, whichever begins and ends first", async () => {
  const memory = new TokenMemory();
  let reads = 0;
  const read = async (): Promise<PortalToken> => {
    reads += 1;
    return token(null);
  };
  const isRemembered = async (): Promise<boolean> => {
    const before = reads;
    await memory.get("1", NOW, read);
    return before === reads;
  };
  // The revocation begins and ends while the look-up is under way.
  await memory.get("1", NOW, async () => {
    await memory.revoking(async () => undefined);
    return token(null);
  });
  expect(await isRemembered()).toBe(false);
  expect(await isRemembered()).toBe(true);
  // The look-up begins and ends while the revocation is under way.
  await memory.revoking(async () => {
    expect(await isRemembered()).toBe(false);
    expect(await isRemembered()).toBe(false);
  });
  expect(await isRemembered()).toBe(false);
  expect(await isRemembered()).toBe(true);
});

test("a record is read again after a second, and when the clock was set back", async () => {
  const memory = new TokenMemory();
  const at = async (micros: number): Promise<PortalToken | null> =>
    await memory.get("1", instantFromMicros(NOW + micros), async () => token(instantFromMicros(NOW + micros)));
  expect((await at(0))?.lastUsedAt).toBe(NOW);
  expect((await at(999_999))?.lastUsedAt).toBe(NOW);
  expect((await at(1_000_000))?.lastUsedAt).toBe(NOW + 1_000_000);
  expect((await at(999_999))?.lastUsedAt).toBe(NOW + 999_999);
  memory.used(token(null), NOW);
  expect((await at(999_999))?.lastUsedAt).toBe(NOW);
});
