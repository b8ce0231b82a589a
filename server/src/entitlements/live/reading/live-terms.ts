/** What it takes to keep the balance of a metered entitlement in memory, as its domain knows it at the moment. */

import type { CustomerSubjects, PositionVector, RollUp } from "../../../engines/event-store/index.ts";
import type { WatchedUsage } from "../../../events/index.ts";
import type { EngineState, Terms } from "../../engine/index.ts";
import type { Instant } from "../../../kernel/instant.ts";
import type { UsageKind } from "../phase-usage.ts";

/** A metered entitlement that measures now, with everything that decides its balance but usage. */
export interface LiveTerms {
  readonly entitlementId: string;
  /** The customer with the subjects that are its own. */
  readonly customer: CustomerSubjects;
  readonly meterId: string;
  readonly usage: WatchedUsage;
  readonly kind: UsageKind;
  readonly terms: Terms;
  /** The engine's state at the start of a phase, with the usage up to the vector, computed from all events. */
  readonly stateAt: (at: Instant, upTo: PositionVector) => Promise<EngineState>;
  /** What of the meter is rolled up at the moment. */
  readonly rollUp: () => RollUp | null;
}
