/**
 * What an entitlement says at a time, whatever its type, and the history of a metered one.
 *
 * The value at this moment comes from memory where it is there, and from a recomputation otherwise; both are the same.
 */

import type { PositionVector } from "../engines/event-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Decimal } from "../kernel/decimal.ts";
import { formatInstant, type Instant } from "../kernel/instant.ts";
import { isTimeZone } from "../kernel/time-zone.ts";
import type { Calculation } from "./calculation.ts";
import {
  ceilToMinute,
  floorToMinute,
  type History,
  type HistoryWindowSize,
  type MeteredValue,
  windowsBetween,
} from "./engine/index.ts";
import { type Entitlement, isActiveAt, isMetered, lastReset, type MeteredEntitlement } from "./entitlement.ts";
import { fieldFault, InputErrors } from "./input.ts";
import { requireMetered } from "./service.ts";

/** What an entitlement says: nothing while it is not active. */
export type EntitlementValue =
  | { readonly kind: "none" }
  | { readonly kind: "boolean" }
  | { readonly kind: "static"; /** JSON text. */ readonly config: string }
  | {
      readonly kind: "metered";
      readonly value: MeteredValue;
      /** What is held and what that leaves, never below 0. Of this moment only: nobody knows the holds of other times. */
      readonly holds?: { readonly held: Decimal; readonly available: Decimal };
    };

/** The value of a metered entitlement at this moment, holds aside; null: it is not active. */
export interface NewestValue {
  readonly value: MeteredValue | null;
  /** How far events are part of it. */
  readonly upTo: PositionVector;
}

/** As a client asks for a history; instants are RFC 3339 text. */
export interface HistoryQuery {
  readonly windowSize: HistoryWindowSize;
  /** IANA name. */
  readonly windowTimeZone: string;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export interface BalancesOptions {
  readonly calculation: Pick<Calculation, "value" | "history">;
  readonly clock: Clock;
  /** The value at this moment if it is in memory. */
  readonly valueNow: (entitlement: MeteredEntitlement) => MeteredValue | null;
  /** How far events are stored, which is how far they are part of values in memory. */
  readonly positions: () => PositionVector;
  /** What is held of the entitlement beside a balance that includes the events up to a position. */
  readonly heldOf: (entitlementId: string, at: Instant, upTo: PositionVector) => Decimal;
}

export const NO_ACCESS: EntitlementValue = { kind: "none" };

const MAX_WINDOWS = 10_000;

export class Balances {
  readonly #options: BalancesOptions;

  constructor(options: BalancesOptions) {
    this.#options = options;
  }

  /** What the entitlement says at a time, RFC 3339 text, by default now. Faults: `invalid_time`, those of a calculation. */
  async valueAt(entitlement: Entitlement, time?: string): Promise<EntitlementValue> {
    const { calculation, clock, heldOf } = this.#options;
    const errors = new InputErrors();
    const at = time === undefined ? clock.now() : errors.instant(time, "$.time");
    errors.throwIfAny("invalid_time");
    if (at === null || !isActiveAt(entitlement, at)) return NO_ACCESS;
    if (!isMetered(entitlement)) return unmeteredValue(entitlement);
    if (time !== undefined) return { kind: "metered", value: await calculation.value(entitlement, at) };
    const { value, upTo } = await this.newest(entitlement);
    if (value === null) return NO_ACCESS;
    return withHolds(value, entitlement.metered.isSoftLimit, heldOf(entitlement.id, clock.now(), upTo));
  }

  /** What the entitlement says at this moment, `at`, if all of it is in memory; null: ask `valueAt`. */
  known(entitlement: Entitlement, at: Instant): EntitlementValue | null {
    const { valueNow, heldOf, positions } = this.#options;
    if (!isActiveAt(entitlement, at)) return NO_ACCESS;
    if (!isMetered(entitlement)) return unmeteredValue(entitlement);
    const value = valueNow(entitlement);
    if (value === null) return null;
    return withHolds(value, entitlement.metered.isSoftLimit, heldOf(entitlement.id, at, positions()));
  }

  /** The value at this moment and how far events are part of it. Faults: those of a calculation. */
  async newest(entitlement: MeteredEntitlement): Promise<NewestValue> {
    const { calculation, clock, valueNow, positions } = this.#options;
    const at = clock.now();
    const upTo = positions();
    if (!isActiveAt(entitlement, at)) return { value: null, upTo };
    return { value: valueNow(entitlement) ?? (await calculation.value(entitlement, at, upTo)), upTo };
  }

  /** Faults: `entitlement_not_metered`, `invalid_time`, `invalid_time_zone`, `invalid_period`, `too_many_windows`. */
  async history(entitlement: Entitlement, query: HistoryQuery): Promise<History> {
    requireMetered(entitlement, "history");
    const { from, to } = historyRange(entitlement, query, this.#options.clock.now());
    const windows = windowsBetween(query.windowSize, query.windowTimeZone, { from, to }, MAX_WINDOWS + 1);
    if (windows.length > MAX_WINDOWS) {
      const message = `the period has more than ${MAX_WINDOWS} windows of one ${query.windowSize}; make it shorter or the windows longer`;
      throw fieldFault("too_many_windows", message, "$.windowSize");
    }
    return await this.#options.calculation.history(entitlement, { from, to, windows });
  }
}

function unmeteredValue({ config }: Entitlement): EntitlementValue {
  return config === null ? { kind: "boolean" } : { kind: "static", config };
}

/** The value of this moment together with what is held: a hard limit gives access only to what is available. */
export function withHolds(value: MeteredValue, isSoftLimit: boolean, held: Decimal): EntitlementValue {
  const rest = value.balance.minus(held);
  const available = rest.isNegative() ? Decimal.zero : rest;
  const hasAccess = isSoftLimit || available.isPositive();
  return { kind: "metered", value: { ...value, hasAccess }, holds: { held, available } };
}

function historyRange(
  entitlement: MeteredEntitlement,
  query: HistoryQuery,
  now: Instant,
): { readonly from: Instant; readonly to: Instant } {
  const errors = new InputErrors();
  const sentFrom = query.from === undefined ? lastReset(entitlement) : errors.instant(query.from, "$.from");
  const sentTo = query.to === undefined ? now : errors.instant(query.to, "$.to");
  if (!isTimeZone(query.windowTimeZone)) {
    const message = `"windowTimeZone" must be the IANA name of a time zone, such as Europe/Budapest, not ${JSON.stringify(query.windowTimeZone)}`;
    errors.add("invalid_time_zone", message, "$.windowTimeZone");
  }
  const from = floorToMinute(sentFrom ?? now);
  const to = ceilToMinute(sentTo ?? now);
  const { measureUsageFrom } = entitlement.metered;
  if (sentFrom !== null && from < measureUsageFrom) {
    const message = `"from" must not be before usage is measured, ${formatInstant(measureUsageFrom)}, not ${formatInstant(from)}`;
    errors.add("invalid_period", message, "$.from");
  }
  if (sentFrom !== null && sentTo !== null && from >= to) {
    const message = `"from" must be before "to", but it is ${formatInstant(from)} and "to" is ${formatInstant(to)}`;
    errors.add("invalid_period", message, "$.from");
  }
  errors.throwIfAny("invalid_history");
  return { from, to };
}
