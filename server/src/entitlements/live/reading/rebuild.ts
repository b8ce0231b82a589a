/**
 * Brings balances into memory: from their terms, at one position vector, by reading usage from the event store.
 *
 * Sums and counts under one meter and filters are read together, whatever the phases: one query for up to a thousand
 * customers. That is what makes thousands of balances warm within seconds after a start, for hardly two customers sign up in
 * the same minute. The others are computed one by one.
 */

import type { EventStore, PositionVector } from "../../../engines/event-store/index.ts";
import { Decimal } from "../../../kernel/decimal.ts";
import { Fault } from "../../../kernel/fault.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { advance, ceilToMinute, initialState, nextBoundary, periodAt, type Phase, phases } from "../../engine/index.ts";
import { LiveBalance } from "../live-balance.ts";
import type { LiveTerms } from "./live-terms.ts";
import { MAX_DISTINCT_VALUES, PhaseUsage, type UsageEntry } from "../phase-usage.ts";
import { TooMuchUsage, UsageReads } from "./usage-reads.ts";

/** Longer histories are computed one by one. */
const MAX_SHARED_PHASES = 1_000;
/** The subjects of so many customers are named in one query. */
const MAX_COHORT = 1_000;
/** So many phases of all its customers together. */
const MAX_COHORT_PHASES = 20_000;

export interface RebuildOptions {
  readonly store: Pick<EventStore, "queryUsage" | "queryPhaseUsage" | "listEvents">;
}

/** Balances to be rebuilt together: same usage, any phases. */
export interface Cohort {
  readonly members: readonly LiveTerms[];
  readonly isShared: boolean;
  /** By entitlement id, never empty; the last one is that which now lies in. */
  readonly phases: ReadonlyMap<string, readonly Phase[]>;
  readonly now: Instant;
}

/** Puts together what is read together. */
export function cohortsOf(all: readonly LiveTerms[], now: Instant): readonly Cohort[] {
  const phasesById = new Map(all.map((each) => [each.entitlementId, phasesUntil(each, now)]));
  const phaseCount = ({ entitlementId }: LiveTerms): number => phasesById.get(entitlementId)?.length ?? 0;
  const byUsage = new Map<string, LiveTerms[]>();
  const cohorts: Cohort[] = [];
  for (const each of all) {
    const isShared = phaseCount(each) <= MAX_SHARED_PHASES && (each.kind === "SUM" || each.kind === "COUNT");
    const sharing = byUsage.get(each.usage.key);
    if (!isShared) cohorts.push({ members: [each], isShared, phases: phasesById, now });
    else if (sharing === undefined) byUsage.set(each.usage.key, [each]);
    else sharing.push(each);
  }
  for (const sharing of byUsage.values()) {
    const each = parts(sharing, phaseCount);
    cohorts.push(...each.map((members) => ({ members, isShared: true, phases: phasesById, now })));
  }
  return cohorts;
}

/** Neighbours in the order of subjects, which lie side by side in the event store. */
function parts(sharing: readonly LiveTerms[], phaseCount: (each: LiveTerms) => number): readonly LiveTerms[][] {
  const subjectOf = ({ customer }: LiveTerms): string => customer.subjects[0] ?? "";
  const sorted = sharing.toSorted((a, b) => (subjectOf(a) < subjectOf(b) ? -1 : Number(subjectOf(a) > subjectOf(b))));
  const found: LiveTerms[][] = [];
  let phases = 0;
  for (const each of sorted) {
    const last = found.at(-1);
    phases += phaseCount(each);
    if (last !== undefined && last.length < MAX_COHORT && phases <= MAX_COHORT_PHASES) {
      last.push(each);
    } else {
      found.push([each]);
      phases = phaseCount(each);
    }
  }
  return found;
}

/** The phases of the entitlement from the beginning; the last one contains `now` or begins with it. */
function phasesUntil({ terms }: LiveTerms, now: Instant): readonly Phase[] {
  const found = phases(terms, { at: terms.measureUsageFrom }, now);
  const last = found.at(-1);
  const from = last === undefined ? terms.measureUsageFrom : nextBoundary(terms, last.from);
  // Right at a boundary the phase that begins there has no length yet.
  return from === null || from > now ? found : [...found, { from, to: from, periodStart: periodAt(terms, from).from }];
}

/** Reads a cohort's balances with the usage up to the vector, by entitlement id. */
export async function rebuild(
  options: RebuildOptions,
  cohort: Cohort,
  upTo: PositionVector,
): Promise<ReadonlyMap<string, LiveBalance>> {
  const [first] = cohort.members;
  if (first === undefined) return new Map();
  const reads = new UsageReads({ store: options.store, usage: first.usage, rollUp: first.rollUp(), upTo });
  if (cohort.isShared) {
    try {
      return await shared(reads, cohort);
    } catch (error) {
      // One by one they find more in roll-ups of hours and days.
      if (!(error instanceof Fault) || error.code !== "query_timeout") throw error;
    }
  }
  const balances = new Map<string, LiveBalance>();
  for (const member of cohort.members) {
    const own = cohort.phases.get(member.entitlementId) ?? [];
    balances.set(member.entitlementId, await single(reads, member, { phases: own, now: cohort.now }, upTo));
  }
  return balances;
}

/** Runs the engine over the phases of each member before its last with the usage of all of them. */
async function shared(
  reads: UsageReads,
  { members, phases: phasesById, now }: Cohort,
): Promise<Map<string, LiveBalance>> {
  const all = members.map(({ entitlementId }) => phasesById.get(entitlementId) ?? []);
  const usages = await reads.phases(
    members.map(({ customer: { subjects } }, at) => ({ subjects, bounds: bounds(all[at]) })),
  );
  const usagesOf = Map.groupBy(usages, ({ series }) => series);
  const upTo = ceilToMinute(now);
  const later = await reads.minutes(distinctCustomers(members), upTo);
  const balances = new Map<string, LiveBalance>();
  members.forEach(({ entitlementId, terms, kind, customer }, at) => {
    const own = all[at] ?? [];
    const values = new Map(usagesOf.get(at)?.map(({ phase, value }) => [phase, value]));
    const from = own.at(-1)?.from ?? terms.measureUsageFrom;
    const state = advance(terms, initialState(terms), from, (index) => Decimal.of(values.get(index) ?? "0"));
    const usage = new PhaseUsage(kind, from, upTo);
    if (from < upTo) usage.add({ time: from, arrival: 0, offset: 0, value: values.get(own.length - 1) ?? "0" });
    for (const entry of later.get(customer.id) ?? []) usage.add(entry);
    balances.set(entitlementId, new LiveBalance(terms, state, usage));
  });
  return balances;
}

/** Each phase begins where the one before ends. */
function bounds(phases: readonly Phase[] = []): readonly Instant[] {
  const last = phases.at(-1);
  return last === undefined ? [] : [...phases.map(({ from }) => from), last.to];
}

function distinctCustomers(members: readonly LiveTerms[]): LiveTerms["customer"][] {
  return [...new Map(members.map(({ customer }) => [customer.id, customer])).values()];
}

/** Starts from the state that the calculation gives, which knows long histories. */
async function single(
  reads: UsageReads,
  { terms, kind, customer, stateAt }: LiveTerms,
  { phases: all, now }: { readonly phases: readonly Phase[]; readonly now: Instant },
  vector: PositionVector,
): Promise<LiveBalance> {
  const last = all.at(-1);
  const from = last?.from ?? terms.measureUsageFrom;
  const periodStart = last?.periodStart ?? from;
  const upTo = ceilToMinute(now);
  const state = await stateAt(from, vector);
  const add = (usage: PhaseUsage, entries: readonly UsageEntry[]): void => {
    if (!entries.every((entry) => usage.add(entry))) throw new TooMuchUsage("more values than are kept in memory");
  };
  if (kind === "LATEST") {
    const usage = new PhaseUsage(kind, periodStart, upTo);
    add(usage, await reads.latest(customer, periodStart, upTo));
    return new LiveBalance(terms, state, usage);
  }
  if (kind === "UNIQUE_COUNT") {
    const usage = new PhaseUsage(kind, periodStart, upTo);
    const before = await reads.distinctValues(customer, periodStart, from);
    if (before.length > MAX_DISTINCT_VALUES) throw new TooMuchUsage("more values than are kept in memory");
    add(usage, before);
    usage.nextPhase(from, false);
    add(usage, await reads.distinctValues(customer, from, upTo));
    add(usage, await reads.distinctMinutes(customer, upTo));
    return new LiveBalance(terms, state, usage);
  }
  const usage = new PhaseUsage(kind, from, upTo);
  const total = await reads.total(customer, from, upTo);
  if (total !== null) add(usage, [{ time: from, arrival: 0, offset: 0, value: total }]);
  add(usage, (await reads.minutes([customer], upTo)).get(customer.id) ?? []);
  return new LiveBalance(terms, state, usage);
}
