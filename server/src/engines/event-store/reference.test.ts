/** The reference store: the conformance suite, and the one rule that no suite of ordinary size can reach. */

import { describe, expect, test } from "vitest";
import { Fixture, PositionSequence } from "./conformance/fixture.ts";
import { eventStoreConformance } from "./conformance.ts";
import { ReferenceStore } from "./reference.ts";

eventStoreConformance("reference", async () => {
  const store = new ReferenceStore();
  return { store, close: () => store.close() };
});

describe("ReferenceStore", () => {
  test("refuses a sum that might not be exact", async () => {
    const limit = 100n * 10n ** 24n;
    const fixture = new Fixture(new ReferenceStore(limit), new PositionSequence());
    await fixture.insert([{ data: '{"v":33}' }, { data: '{"v":-33}' }, { data: '{"v":1}' }]);
    await expect(fixture.usage({ aggregation: "SUM" })).resolves.toMatchObject([{ value: "1" }]);
    await fixture.insert([{ data: '{"v":1}' }]);
    await expect(fixture.usage({ aggregation: "SUM" })).rejects.toMatchObject({ code: "aggregate_overflow" });
    await expect(fixture.usage({ aggregation: "AVG" })).rejects.toMatchObject({ kind: "internal" });
    await expect(fixture.usage({ aggregation: "MAX" })).resolves.toMatchObject([{ value: "33" }]);
  });
});
