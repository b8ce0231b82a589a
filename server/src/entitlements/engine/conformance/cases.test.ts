/** The published cases of the credit engine and of the burn order, run as they are. */

import { describe, expect, test } from "vitest";

import creditEngine from "../../../../test/cases/credit_engine.json" with { type: "json" };
import grantOrder from "../../../../test/cases/grant_order.json" with { type: "json" };
import { Decimal } from "../../../kernel/decimal.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { formatInstant } from "../../../kernel/instant.ts";
import { at, duration, grantOf, termsOf } from "./fixtures.ts";
import { phases } from "../boundaries.ts";
import type { Grant } from "../grant.ts";
import { compareBurnOrder, expiryOf } from "../grant.ts";
import type { Run, Segment } from "../run.ts";
import { run } from "../run.ts";
import type { Terms } from "../terms.ts";
import { valueOf } from "../value.ts";

type Case = (typeof creditEngine.cases)[number];
type CaseRun = Case["runs"][number];

const orNull = (text: string | null): Instant | null => (text === null ? null : at(text));

function caseGrant(grant: CaseRun["grants"][number]): Grant {
  return {
    id: grant.id,
    amount: Decimal.of(grant.amount),
    priority: grant.priority,
    effectiveAt: at(grant.effectiveAt),
    expiresAt: orNull(grant.expiresAt),
    voidedAt: orNull(grant.voidedAt),
    deletedAt: orNull(grant.deletedAt),
    minRollover: Decimal.of(grant.resetMinRollover),
    maxRollover: Decimal.of(grant.resetMaxRollover),
    recurrence:
      grant.recurrence === null
        ? null
        : { interval: duration(grant.recurrence.interval), anchor: at(grant.recurrence.anchor) },
    createdAt: at(grant.createdAt ?? "2020-01-01T00:00:00Z"),
  };
}

function execute(input: CaseRun, events: Case["usageEvents"]): unknown {
  const { startingSnapshot: start, preserveOverageAtReset: preserveOverage } = input;
  const terms = termsOf({
    measureUsageFrom: at(start.at),
    resets: input.resets.map((reset) => ({ at: at(reset), anchor: at(reset), preserveOverage })),
    grants: input.grants.map(caseGrant),
  });
  const state = {
    at: at(start.at),
    balances: new Map(Object.entries(start.balances).map(([id, balance]) => [id, Decimal.of(balance)])),
    overage: Decimal.of(start.overage),
    usage: Decimal.of(start.usage),
    covered: Decimal.of(start.totalGrantUsage),
  };
  const asked = phases(terms, state, at(input.until));
  const usageOf = (index: number) => {
    const phase = asked[index];
    const counted = events.filter((event) => phase && phase.from <= at(event.at) && at(event.at) < phase.to);
    return counted.reduce((sum, event) => sum.plus(Decimal.of(event.value)), Decimal.zero);
  };
  return shown(terms, run(terms, state, at(input.until), usageOf));
}

/** The result in the shape that the cases name paths of. */
function shown(terms: Terms, { state, segments }: Run): unknown {
  const value = valueOf(terms, state);
  return {
    Snapshot: {
      Balances: shownBalances(terms, value.grantBalances),
      Balance: value.balance.toText(),
      Overage: value.overage.toText(),
      UsageSnapshot: {
        Usage: value.usage.toText(),
        TotalGrantUsage: value.totalAvailableGrantAmount.minus(value.balance).toText(),
      },
    },
    History: { Segments: segments.map((segment, index) => shownSegment(terms, segment, segments[index + 1])) },
  };
}

function shownSegment(terms: Terms, segment: Segment, next: Segment | undefined): unknown {
  const sum = (balances: ReadonlyMap<string, Decimal>) =>
    [...balances.values()].reduce((total, balance) => total.plus(balance), Decimal.zero).toText();
  return {
    From: formatInstant(segment.from),
    To: formatInstant(segment.to),
    BalanceAtStart: {
      ...shownBalances(terms, segment.balancesAtStart),
      Balance: sum(segment.balancesAtStart),
    },
    GrantUsages: segment.grantUsages.map(({ grantId, usage }) => ({
      GrantID: grantId,
      Usage: usage.toText(),
      TerminationReason: "SEGMENT_TERMINATION",
    })),
    TotalUsage: segment.usage.toText(),
    Overage: segment.overage.toText(),
    OverageAtStart: segment.overageAtStart.toText(),
    ApplyUsage: { Balance: sum(segment.balancesAtEnd) },
    TerminationReasons: {
      UsageReset: segment.kind === "usage" && next?.kind === "rollover",
      Rollover: segment.kind === "rollover",
    },
  };
}

/** Grants that are not active count as balance 0. */
function shownBalances(terms: Terms, balances: ReadonlyMap<string, Decimal>): Record<string, string> {
  return Object.fromEntries(terms.grants.map(({ id }) => [id, (balances.get(id) ?? Decimal.zero).toText()]));
}

/** What lies at a path such as `.History.Segments[0].BalanceAtStart[grant-1]`. */
function lookUp(value: unknown, path: string): unknown {
  return [...path.matchAll(/\.([A-Za-z]+)|\[([^\]]+)\]/gu)].reduce((inner, [, name, key]) => {
    const member = name ?? key ?? "";
    if (typeof inner !== "object" || inner === null || !(member in inner)) throw new Error(`nothing at ${path}`);
    return (inner as Record<string, unknown>)[member];
  }, value);
}

interface Expectation {
  readonly run: number;
  readonly path?: string;
  readonly sumOf?: readonly string[];
  readonly equals?: unknown;
  readonly length?: number;
}

function check(results: readonly unknown[], expectation: Expectation): void {
  const result = results[expectation.run];
  const note = JSON.stringify(expectation);
  if (expectation.sumOf !== undefined) {
    const sum = expectation.sumOf.reduce(
      (total, path) => total.plus(Decimal.of(String(lookUp(result, path)))),
      Decimal.zero,
    );
    expect(sum.toText(), note).toBe(expectation.equals);
  } else {
    const found = lookUp(result, expectation.path ?? "");
    if (expectation.length === undefined) expect(found, note).toEqual(expectation.equals);
    else expect(found, note).toHaveLength(expectation.length);
  }
}

describe("conformance: credit engine", () => {
  test("has all its cases", () => {
    expect(creditEngine.cases).toHaveLength(21);
  });

  test.each(creditEngine.cases)("$id", (input) => {
    const execution = () => input.runs.map((one) => execute(one, input.usageEvents));
    if ("expectError" in input) {
      expect(execution).toThrow("a state has the balance of every active grant");
      return;
    }
    const results = execution();
    expect(input.expect.length).toBeGreaterThan(0);
    for (const expectation of input.expect) check(results, expectation);
  });
});

describe("conformance: grant order", () => {
  test.each(grantOrder.cases)("$id", ({ grants, expectOrder }) => {
    const now = at("2024-06-01T00:00:00Z");
    const ordered = grants.map((grant) => {
      const effectiveAt = (now + (grant.effectiveAtOffsetMs ?? 0) * 1_000) as Instant;
      const unit = grant.expiresAfter?.duration;
      if (unit !== undefined && unit !== "HOUR") throw new Error(`unknown duration ${unit}`);
      return grantOf(grant.id, "1", {
        priority: grant.priority,
        effectiveAt,
        expiresAt: unit === undefined ? null : expiryOf(effectiveAt, unit, grant.expiresAfter?.count ?? 0),
        createdAt: (now + grant.createdAtOffsetHours * 3_600_000_000) as Instant,
      });
    });
    expect(ordered.toSorted(compareBurnOrder).map(({ id }) => id)).toEqual(expectOrder);
  });
});
