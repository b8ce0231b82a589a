/**
 * Brings balances into memory: from their terms, at one position vector, by reading usage from the event store.
 *
 * Balances that share a meter, filters and phases are read together, one query per phase for up to a thousand customers;
 * that is what makes thousands of balances warm within seconds after a start. The others are computed one by one.
 */

import type { EventStore, PositionVector } from "../../../engines/event-store/index.ts";
import { Decimal } from "../../../kernel/decimal.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { advance, ceilToMinute, initialState, nextBoundary, periodAt, type Phase, phases } from "../../engine/index.ts";
import { LiveBalance } from "../live-balance.ts";
import type { LiveTerms } from "./live-terms.ts";
import { MAX_DISTINCT_VALUES, PhaseUsage, type UsageEntry } from "../phase-usage.ts";
import { TooMuchUsage, UsageReads } from "./usage-reads.ts";

/** Longer histories are computed one by one, with their checkpoints. */
const MAX_SHARED_PHASES = 12;
/** The subjects of so many customers are named in one query. */
const MAX_COHORT = 1_000;

export interface RebuildOptions {
  readonly store: Pick<EventStore, "queryUsage" | "listEvents">;
}

/** Balances to be rebuilt together: same usage, same phases. */
export interface Cohort {
  readonly members: readonly LiveTerms[];
  /** Never empty; the last one is that which now lies in. */
  readonly phases: readonly Phase[];
  readonly now: Instant;
}

/** Puts together what is read together. */
export function cohortsOf(all: readonly LiveTerms[], now: Instant): readonly Cohort[] {
  const cohorts = new Map<string, { members: LiveTerms[]; phases: readonly Phase[] }>();
  for (const each of all) {
    const own = phasesUntil(each, now);
    const isShared = own.length <= MAX_SHARED_PHASES && (each.kind === "SUM" || each.kind === "COUNT");
    const bounds = own.map(({ from, to }) => `${from}-${to}`).join();
    const name = isShared ? JSON.stringify([each.usage.key, bounds]) : each.entitlementId;
    const cohort = cohorts.get(name);
    if (cohort === undefined) cohorts.set(name, { members: [each], phases: own });
    else cohort.members.push(each);
  }
  return [...cohorts.values()].flatMap(({ members, phases: own }) => {
    const parts: Cohort[] = [];
    for (let at = 0; at < members.length; at += MAX_COHORT) {
      parts.push({ members: members.slice(at, at + MAX_COHORT), phases: own, now });
    }
    return parts;
  });
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
  const isAdditive = first.kind === "SUM" || first.kind === "COUNT";
  if (isAdditive && cohort.phases.length <= MAX_SHARED_PHASES) return await additive(reads, cohort);
  const balances = new Map<string, LiveBalance>();
  for (const member of cohort.members) {
    balances.set(member.entitlementId, await single(reads, member, cohort, upTo));
  }
  return balances;
}

/** Runs the engine over the phases before the last with the usage of all members. */
async function additive(reads: UsageReads, { members, phases: all, now }: Cohort): Promise<Map<string, LiveBalance>> {
  const customers = distinctCustomers(members);
  const totals: ReadonlyMap<string, Decimal>[] = [];
  for (const { from, to } of all) totals.push(await reads.totals(customers, from, to));
  const upTo = ceilToMinute(now);
  const later = await reads.minutes(customers, upTo);
  const balances = new Map<string, LiveBalance>();
  for (const { entitlementId, terms, kind, customer } of members) {
    const from = all.at(-1)?.from ?? terms.measureUsageFrom;
    const totalOf = (index: number): Decimal => totals[index]?.get(customer.id) ?? Decimal.zero;
    const state = advance(terms, initialState(terms), from, totalOf);
    const usage = new PhaseUsage(kind, from, upTo);
    if (from < upTo) usage.add({ time: from, arrival: 0, offset: 0, value: totalOf(all.length - 1).toText() });
    for (const entry of later.get(customer.id) ?? []) usage.add(entry);
    balances.set(entitlementId, new LiveBalance(terms, state, usage));
  }
  return balances;
}

function distinctCustomers(members: readonly LiveTerms[]): LiveTerms["customer"][] {
  return [...new Map(members.map(({ customer }) => [customer.id, customer])).values()];
}

/** Starts from the state that the calculation gives, which knows checkpoints and long histories. */
async function single(
  reads: UsageReads,
  { terms, kind, customer, stateAt }: LiveTerms,
  { phases: all, now }: Cohort,
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
  const total = (await reads.totals([customer], from, upTo)).get(customer.id);
  if (total !== undefined) add(usage, [{ time: from, arrival: 0, offset: 0, value: total.toText() }]);
  add(usage, (await reads.minutes([customer], upTo)).get(customer.id) ?? []);
  return new LiveBalance(terms, state, usage);
}
