/**
 * Cases on the usage of many customers in phases of their own: the bounds, subjects of several series, filters, positions,
 * and random worlds in which each phase must have what a query of its own says.
 */

import { describe, expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { PhaseSeries, PhaseUsage } from "../store.ts";
import { at, type EventCase, everything, type Fixture, type Fixtures, later, type UsageCase } from "./fixture.ts";

const START = "2025-03-01T00:00:00Z";
const MINUTE = 60_000_000;
const SEEDS = [1, 2];

/** The bounds are minutes since `START`. */
function series(subjects: readonly string[], ...minutes: readonly number[]): PhaseSeries {
  return { subjects, bounds: minutes.map((minute) => later(START, minute * MINUTE)) };
}

/** An event with a value, so many minutes and microseconds after `START`. */
function used(subject: string, minute: number, value: string | number, micros = 0): EventCase {
  const time = new Date((at(START) + minute * MINUTE) / 1000).toISOString();
  const digits = String(micros).padStart(6, "0");
  return { subject, time: time.replace(/\.\d+Z$/, `.${digits}Z`), data: JSON.stringify({ v: value }) };
}

async function phaseUsage(fixture: Fixture, all: readonly PhaseSeries[], input: UsageCase = {}): Promise<string[]> {
  const { meter, filters, upTo } = fixture.usageQuery({ aggregation: "SUM", ...input });
  return (await fixture.store.queryPhaseUsage({ meter, filters, upTo, series: all })).map(shown);
}

function shown({ series: index, phase, value }: PhaseUsage): string {
  return `${index}/${phase}: ${value}`;
}

export function phaseUsageConformance(fixtures: Fixtures): void {
  describe("usage of phases", () => {
    test("belongs to the phase in whose bounds it is", async () => {
      const fixture = fixtures();
      await fixture.insert([
        used("a", -1, 1),
        used("a", 9, 2, 999_999),
        used("a", 10, 4),
        used("a", 19, 8),
        used("a", 30, 16),
        { ...used("a", 29, 32, 999_999), type: "other" },
        // Between the first bound of all and the first one of its own.
        used("b", 1, 256),
        used("b", 15, 64),
        used("c", 15, 128),
        used("b", 2, "0.000000000000000000000001"),
      ]);
      const all = [series(["a"], 0, 10, 20, 30), series(["b"], 2, 3, 40)];
      expect(await phaseUsage(fixture, all)).toEqual([
        "0/0: 2",
        "0/1: 12",
        "1/0: 0.000000000000000000000001",
        "1/1: 64",
      ]);
      expect(await phaseUsage(fixture, all, { aggregation: "COUNT" })).toEqual([
        "0/0: 1",
        "0/1: 2",
        "1/0: 1",
        "1/1: 1",
      ]);
      expect(await phaseUsage(fixture, all.toReversed(), { aggregation: "COUNT" })).toEqual([
        "0/0: 1",
        "0/1: 1",
        "1/0: 1",
        "1/1: 2",
      ]);
      const late = await phaseUsage(fixture, all, { eventFrom: "2025-03-01T00:15:00Z" });
      expect(late).toEqual(["0/1: 8", "1/1: 64"]);
    });

    test("adds up over subjects, and a subject counts in every series that it is in", async () => {
      const fixture = fixtures();
      await fixture.insert([used("a", 1, 1), used("b", 2, 2), used("a", 6, 4), used("b", 7, 8), used("b", 12, "16.5")]);
      const all = [series(["a", "b"], 0, 5, 10), series(["b", "b"], 2, 7, 20), series(["b"], 0, 20)];
      expect(await phaseUsage(fixture, all)).toEqual(["0/0: 3", "0/1: 12", "1/0: 2", "1/1: 24.5", "2/0: 26.5"]);
    });

    test("is nothing without phases, subjects, events or values", async () => {
      const fixture = fixtures();
      await fixture.insert([used("a", 1, "no number"), used("b", 1, 1), { ...used("b", 1, 1), type: "other" }]);
      expect(await phaseUsage(fixture, [])).toEqual([]);
      expect(await phaseUsage(fixture, [series([], 0, 5), series(["b"]), series(["b"], 0)])).toEqual([]);
      expect(await phaseUsage(fixture, [series(["a", "x"], 0, 5), series(["b"], 1, 1), series(["b"], 2, 5)])).toEqual(
        [],
      );
      expect(await phaseUsage(fixture, [series(["a"], 0, 5)], { aggregation: "COUNT" })).toEqual(["0/0: 1"]);
      expect(await phaseUsage(fixture, [series(["b"], 0, 1, 1, 2)])).toEqual(["0/2: 1"]);
      expect(await phaseUsage(fixture, [series(["b"], 0, 5)], { upTo: new Map() })).toEqual([]);
    });

    test("reaches from the first instant to the last, and there may be more bounds than one parameter takes", async () => {
      const fixture = fixtures();
      const [first, last] = ["1970-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z"];
      await fixture.insert([{ time: first }, { time: last }, { time: START }]);
      const bounds = [-MINUTE, 0, MINUTE, at(START), at(START) + MINUTE, 9_000_000_000_000_000];
      const all = [{ subjects: ["subject"], bounds: bounds.map(instantFromMicros) }];
      const counted = await phaseUsage(fixture, all, { aggregation: "COUNT" });
      expect(counted).toEqual(["0/1: 1", "0/3: 1", "0/4: 1"]);
      const many = [series(["subject"], ...Array.from({ length: 20_000 }, (_, minute) => minute - 19_000))];
      expect(await phaseUsage(fixture, many, { aggregation: "COUNT" })).toEqual(["0/19000: 1"]);
    });

    test("tells awkward subjects apart", async () => {
      const fixture = fixtures();
      const subjects = ["", "A", "a", "a\u0000b", "a\nb", "a'b", "a\\b", "é", "😀"];
      await fixture.insert(subjects.map((subject, index) => used(subject, index, index + 1)));
      const all = subjects.map((subject, index) => series([subject], 0, index, index + 1));
      expect(await phaseUsage(fixture, all)).toEqual(subjects.map((_, index) => `${index}/1: ${index + 1}`));
    });

    test.each(SEEDS)("is what a query of each phase says (seed %i)", async (seed) => {
      const fixture = fixtures();
      let state = seed;
      const below = (limit: number): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return Math.floor((state / 2 ** 32) * limit);
      };
      const subjects = Array.from({ length: 12 }, (_, index) => `subject ${index}`);
      const subject = (): string => subjects[below(subjects.length)] ?? "";
      const events = await fixture.insert(
        Array.from({ length: 300 }, () => ({
          ...used(subject(), below(4_000) - 200, 0, below(1_000_000)),
          data: `{"v":${below(4) === 0 ? '"none"' : `${below(2_000) - 800}.${below(1_000_000)}`},"g":"${below(3)}"}`,
        })),
      );
      const all = Array.from({ length: 9 }, () => {
        const minutes = Array.from({ length: below(7) }, () => below(4_000) - 100);
        return series(Array.from({ length: below(4) }, subject), ...minutes.toSorted((a, b) => a - b));
      });
      const half: UsageCase = { upTo: new Map([[0, events[150]?.offset ?? 0]]) };
      const filters: UsageCase["filters"] = new Map([["g", { op: "in", values: ["0", "2"] }]]);
      const cases: readonly UsageCase[] = [{}, half, { dimensions: { g: "$.g" }, filters }];
      for (const each of cases) {
        for (const aggregation of ["SUM", "COUNT"] as const) {
          const input = { upTo: everything, ...each, aggregation };
          expect(await phaseUsage(fixture, all, input)).toEqual(await oneByOne(fixture, all, input));
        }
      }
    });
  });
}

async function oneByOne(fixture: Fixture, all: readonly PhaseSeries[], input: UsageCase): Promise<string[]> {
  const query = fixture.usageQuery(input);
  const found: string[] = [];
  for (const [index, { subjects, bounds }] of all.entries()) {
    for (const [phase, to] of bounds.slice(1).entries()) {
      const from = bounds[phase] ?? to;
      const customers = [{ id: "customer", subjects }];
      const rows =
        from < to ? await fixture.store.queryUsage({ ...query, customers, groupByCustomer: true, from, to }) : [];
      for (const { value } of rows) found.push(shown({ series: index, phase, value }));
    }
  }
  return found;
}
