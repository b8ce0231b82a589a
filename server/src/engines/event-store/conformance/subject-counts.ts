/** Cases on counting a period's events by subject, and on what a store tells of the progress of its queries. */

import { describe, expect, test } from "vitest";
import { at, type EventCase, everything, type Fixture, type Fixtures } from "./fixture.ts";

const [first, beforeEnd, end] = [
  "2025-03-01T00:00:00Z",
  "2025-03-01T23:59:59.999999Z",
  "2025-03-02T00:00:00Z",
] as const;

export function subjectCountConformance(fixtures: Fixtures): void {
  describe("counts by subject", () => {
    const count = async (fixture: Fixture, upTo = everything): Promise<readonly (readonly [string, number])[]> => {
      const query = { namespace: fixture.namespace, from: at(first), to: at(end), upTo };
      return (await fixture.store.countBySubject(query)).map(({ subject, events }) => [subject, events] as const);
    };

    test("no events make no counts", async () => {
      expect(await count(fixtures())).toEqual([]);
    });

    test("events of all types count, from the first instant of the period to the last before its end", async () => {
      const fixture = fixtures();
      const inside: readonly EventCase[] = [
        { subject: "b", type: "call", time: first },
        { subject: "b", type: "prompt", time: beforeEnd },
        { subject: "a", time: "2025-03-01T12:00:00Z" },
      ];
      const outside: readonly EventCase[] = [
        { subject: "a", time: "2025-02-28T23:59:59.999999Z" },
        { subject: "c", time: end },
        { subject: "a", time: first, namespace: `${fixture.namespace}-other` },
      ];
      await fixture.insert([...outside, ...inside]);
      expect(await count(fixture)).toEqual([
        ["a", 1],
        ["b", 2],
      ]);
    });

    test("subjects are told apart and sorted byte by byte", async () => {
      const fixture = fixtures();
      const subjects = ["", "A", "a", "a\u0000b", "a\nb", 'a"b', "a\\b", "é", "\uffff", "😀"];
      await fixture.insert(subjects.toReversed().map((subject) => ({ subject })));
      expect(await count(fixture)).toEqual(subjects.map((subject) => [subject, 1]));
    });

    test("only events at or before the vector count", async () => {
      const fixture = fixtures();
      const [one] = await fixture.insert([{ subject: "a" }, { subject: "a" }]);
      expect(await count(fixture, new Map([[0, one?.offset ?? 0]]))).toEqual([["a", 1]]);
      expect(await count(fixture, new Map())).toEqual([]);
    });
  });

  test("the progress of a query that nobody watches is unknown", async () => {
    const fixture = fixtures();
    await fixture.usage({});
    expect(await fixture.store.progress("unwatched")).toBeNull();
  });
}
