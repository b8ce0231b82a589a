/**
 * The conformance suite of event stores: every statement about values, aggregations, windows, groups, filters, inserts and
 * listings as a case that each implementation must pass, the in-memory reference included.
 *
 * One store serves the whole suite; every test has a namespace of its own in it.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert } from "../../kernel/assert.ts";
import { Fixture, PositionSequence } from "./conformance/fixture.ts";
import { groupConformance } from "./conformance/groups.ts";
import { listingConformance } from "./conformance/listing.ts";
import { phaseUsageConformance } from "./conformance/phase-usage.ts";
import { positionConformance } from "./conformance/positions.ts";
import { subjectCountConformance } from "./conformance/subject-counts.ts";
import { valueConformance } from "./conformance/values.ts";
import { windowConformance } from "./conformance/windows.ts";
import type { EventStore } from "./store.ts";

/** A store that the suite may fill, and how to be rid of it. */
export interface OpenedStore {
  readonly store: EventStore;
  readonly close: () => Promise<void>;
}

/** Registers the suite with vitest. `open` yields an empty store; the suite migrates it itself. */
export function eventStoreConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`event store: ${name}`, () => {
    const positions = new PositionSequence();
    let opened: OpenedStore | undefined;

    beforeAll(async () => {
      opened = await open();
      await opened.store.migrate();
    }, 60_000);

    afterAll(async () => {
      await opened?.close();
    }, 60_000);

    const fixtures = (): Fixture => {
      assert(opened !== undefined, "tests run after the store was opened");
      return new Fixture(opened.store, positions);
    };

    test("answers, and migrates again without effect", async () => {
      const fixture = fixtures();
      await fixture.store.ping();
      await fixture.insert([{}]);
      await fixture.store.migrate();
      expect(await fixture.list({})).toHaveLength(1);
    });

    positionConformance(fixtures);
    valueConformance(fixtures);
    windowConformance(fixtures);
    groupConformance(fixtures);
    listingConformance(fixtures);
    subjectCountConformance(fixtures);
    phaseUsageConformance(fixtures);
  });
}
