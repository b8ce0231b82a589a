/**
 * Queries that roll-ups answered lately without reading events, so that they can be asked again when more has been rolled up,
 * before anybody does: the first who asks then waits no longer than the second.
 *
 * Only queries over all subjects, which dashboards repeat; those of one subject or another are seldom asked twice.
 */

import type { UsageQuery } from "../store.ts";
import { coverOf } from "./cover.ts";
import type { RollUp } from "./roll-up.ts";

/** A query that nobody repeated for so long is forgotten. */
const LATELY_MS = 60_000;
/** Of one roll-up; dashboards have a handful of panels over a meter. */
const MAX_QUERIES = 8;
const MAX_ROLL_UPS = 64;

interface Asked {
  readonly query: UsageQuery;
  readonly atMs: number;
}

export class RecentQueries {
  /** By roll-up, then by what the query asks; longest unasked first. */
  readonly #asked = new Map<number, Map<string, Asked>>();

  /** Notes a query that is being asked at `nowMs`, if buckets alone answer it. */
  note(query: UsageQuery, nowMs: number): void {
    const { rollUp } = query;
    if (rollUp === undefined || !isAnsweredByBuckets(query, rollUp)) return;
    const queries = this.#asked.get(rollUp.id) ?? new Map<string, Asked>();
    putLast(this.#asked, rollUp.id, queries, MAX_ROLL_UPS);
    putLast(queries, keyOf(query), { query, atMs: nowMs }, MAX_QUERIES);
  }

  /** What was asked of the roll-up lately, as questions to its present state. */
  of(rollUp: RollUp, nowMs: number): readonly UsageQuery[] {
    const queries = [...(this.#asked.get(rollUp.id)?.values() ?? [])];
    return queries
      .filter(({ atMs }) => nowMs - atMs <= LATELY_MS)
      .map(({ query }) => ({ ...query, rollUp, upTo: rollUp.coverage }))
      .filter((query) => isAnsweredByBuckets(query, rollUp));
  }
}

function isAnsweredByBuckets(query: UsageQuery, rollUp: RollUp): boolean {
  const isOfSubjects = query.groupBySubject || query.subjects !== undefined || query.customers !== undefined;
  if (isOfSubjects || query.watchAs !== undefined) return false;
  const cover = coverOf(query, rollUp);
  return cover !== null && cover.edges.length === 0 && !cover.hasTail;
}

/** What tells queries of one roll-up, and so of one meter, apart. */
function keyOf({ from, to, window, groupBy, filters }: UsageQuery): string {
  return JSON.stringify([from, to, window, groupBy, [...filters]]);
}

function putLast<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
