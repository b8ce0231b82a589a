/** A remembered meter is never older than the last change. */

import { expect, test } from "vitest";
import type { Meter } from "./meter.ts";
import { RecentMeters } from "./recent-meters.ts";

function meter(version: number): Meter {
  const times = { createdAt: 0, updatedAt: 0, deletedAt: null } as unknown as Pick<Meter, "createdAt">;
  return { id: "1", slug: "a", version, ...times } as Meter;
}

test("a second look-up takes what the first one found, and finding nothing is not remembered", async () => {
  const recent = new RecentMeters();
  let reads = 0;
  const read = (found: Meter | null) => () => {
    reads += 1;
    return Promise.resolve(found);
  };
  expect(await recent.get("a", read(null))).toBeNull();
  expect(await recent.get("a", read(meter(1)))).toEqual(meter(1));
  expect(await recent.get("a", read(meter(2)))).toEqual(meter(1));
  expect(reads).toBe(2);
});

test("a change makes it forget, also what is read while it is under way", async () => {
  const recent = new RecentMeters();
  await recent.get("a", () => Promise.resolve(meter(1)));
  const slow = Promise.withResolvers<Meter>();
  const early = recent.get("b", () => slow.promise);
  await recent.changing(async () => {
    // Read before the change has happened, asked while it does.
    expect(await recent.get("a", () => Promise.resolve(meter(1)))).toEqual(meter(1));
  });
  slow.resolve(meter(1));
  expect(await early).toEqual(meter(1));
  expect(await recent.get("a", () => Promise.resolve(meter(2)))).toEqual(meter(2));
  expect(await recent.get("b", () => Promise.resolve(meter(2)))).toEqual(meter(2));
});

test("a change that fails makes it forget as well", async () => {
  const recent = new RecentMeters();
  await recent.get("a", () => Promise.resolve(meter(1)));
  await expect(recent.changing(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await recent.get("a", () => Promise.resolve(meter(2)))).toEqual(meter(2));
});
