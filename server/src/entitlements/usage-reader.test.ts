/** The usage of phases is the same whether they are few or many: both ways of asking against one query a phase. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeEvents, type MeterView, parseJsonPath, type StoredEvent } from "../engines/event-store/index.ts";
import { ReferenceStore } from "../engines/event-store/reference.ts";
import { assert } from "../kernel/assert.ts";
import { microsPerDay, microsPerHour, microsPerMinute } from "../kernel/civil.ts";
import { type Instant, instantFromMicros } from "../kernel/instant.ts";
import type { Phase } from "./engine/index.ts";
import { inParallel, UsageReader } from "./usage-reader.ts";

const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const START = Date.UTC(2026, 0, 1) * 1_000;
const customer = { id: "c", subjects: ["a", "b"] };
const upTo = new Map([[0, 10_000]]);

interface Draft {
  readonly subject: string;
  readonly micros: number;
  readonly value: number;
  readonly model: string;
}

interface Case {
  readonly aggregation: MeterView["aggregation"];
  readonly unit: number;
  readonly lengths: readonly number[];
  /** Which phases begin a usage period; the first may not. */
  readonly resets: readonly boolean[];
  /** Minutes from the start of the usage period to the first phase. */
  readonly lead: number;
  /** Minutes of the last phase after its last whole unit. */
  readonly tail: number;
  readonly drafts: readonly Draft[];
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    aggregation: fc.constantFrom<MeterView["aggregation"]>("SUM", "COUNT", "UNIQUE_COUNT", "LATEST"),
    unit: fc.constantFrom(microsPerMinute, microsPerHour, microsPerDay),
    lengths: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 12 }),
    lead: fc.constantFrom(0, 1, 90),
    tail: fc.integer({ min: 0, max: 2 }),
  })
  .chain(({ aggregation, unit, lengths, lead, tail }) => {
    const end = START + lead * microsPerMinute + (lengths.reduce((sum, length) => sum + length, 0) + 2) * unit;
    const draft = fc.record({
      subject: fc.constantFrom("a", "b", "other"),
      // Bounds themselves are likely.
      micros: fc.oneof(
        fc.integer({ min: START, max: end }),
        fc.integer({ min: 0, max: 12 }).map((count) => START + count * unit),
        fc.constantFrom(START, START + lead * microsPerMinute - 1, START + lead * microsPerMinute),
      ),
      value: fc.integer({ min: -3, max: 4 }),
      model: fc.constantFrom("gpt", "gpt", "other"),
    });
    const resets = fc.array(fc.boolean(), { minLength: lengths.length, maxLength: lengths.length });
    return fc.record({
      aggregation: fc.constant(aggregation),
      unit: fc.constant(unit),
      lengths: fc.constant(lengths),
      lead: fc.constant(lead),
      tail: fc.constant(tail),
      resets,
      drafts: fc.array(draft, { maxLength: 40 }),
    });
  });

/** Phases whose inner bounds are whole units; the first may begin, and the last end, at any minute. */
function phasesOf({ unit, lengths, lead, tail, resets }: Case): readonly Phase[] {
  let from = instantFromMicros(START + lead * microsPerMinute);
  let periodStart = instantFromMicros(START);
  let units = Math.ceil((lead * microsPerMinute) / unit);
  return lengths.map((length, index) => {
    if (resets[index] === true) periodStart = from;
    units += length;
    const isLast = index === lengths.length - 1;
    const to = instantFromMicros(START + units * unit + (isLast ? tail * microsPerMinute : 0));
    const phase = { from, to, periodStart };
    from = to;
    return phase;
  });
}

function eventOf({ subject, micros, value, model }: Draft, offset: number): StoredEvent {
  const time = instantFromMicros(micros);
  const data = JSON.stringify({ v: value, model });
  const known = { namespace: "n", source: "s", type: "t", isTimeGiven: true, partition: 0 };
  return { ...known, id: String(offset), subject, time, data, ingestedAt: time, storedAt: time, offset };
}

test(`many phases at once give what one query a phase gives (seed ${SEED})`, async () => {
  const paths = ["$.v", "$.model"].map(parseJsonPath);
  const [valuePath, model] = paths;
  assert(valuePath !== null && valuePath !== undefined && model !== null && model !== undefined, "the paths are valid");
  await fc.assert(
    fc.asyncProperty(cases, async (drawn) => {
      const store = new ReferenceStore();
      await store.insert(encodeEvents(drawn.drafts.map(eventOf)), "t");
      const { aggregation } = drawn;
      const meter: MeterView = {
        namespace: "n",
        eventType: "t",
        aggregation,
        groupBy: new Map([["model", model]]),
        ...(aggregation === "COUNT" ? {} : { valuePath }),
      };
      const filters = new Map([["model", { op: "eq", value: "gpt" } as const]]);
      const total = async (from: Instant, to: Instant): Promise<number> => {
        const part = { from, to, subjects: customer.subjects, groupBySubject: false, groupByCustomer: false };
        const rows = from < to ? await store.queryUsage({ meter, ...part, groupBy: [], filters, upTo }) : [];
        return Number(rows[0]?.value ?? 0);
      };
      const phases = phasesOf(drawn);
      const expected = await inParallel(phases, async ({ from, to, periodStart }) => {
        if (aggregation === "LATEST") return await total(periodStart, to);
        if (aggregation !== "UNIQUE_COUNT") return await total(from, to);
        return (await total(periodStart, to)) - (await total(periodStart, from));
      });
      const reader = new UsageReader({ store, meter, filters, customer, upTo, rollUp: null });
      expect((await reader.ofPhases(phases)).map((usage) => Number(usage.toText()))).toEqual(expected);
      const last = (await reader.ofLastPhase(phases)).map((usage) => Number(usage.toText()));
      expect(last).toEqual(expected.map((usage, index) => (index === expected.length - 1 ? usage : 0)));
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test("a customer without subjects has no usage", async () => {
  const store = new ReferenceStore();
  const meter: MeterView = { namespace: "n", eventType: "t", aggregation: "COUNT", groupBy: new Map() };
  const nobody = { id: "c", subjects: [] };
  const reader = new UsageReader({ store, meter, filters: new Map(), customer: nobody, upTo, rollUp: null });
  const [from, to] = [instantFromMicros(START), instantFromMicros(START + microsPerHour)];
  await store.insert(encodeEvents([eventOf({ subject: "a", micros: START, value: 1, model: "gpt" }, 0)]), "t");
  expect((await reader.ofPhases([{ from, to, periodStart: from }])).map(String)).toEqual(["0"]);
});
