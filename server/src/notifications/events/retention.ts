/** Forgets events, with their deliveries, when they are past their retention. */

import type { Kysely } from "kysely";
import { Loop } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { plusMicros } from "../../kernel/instant.ts";
import { deleteEventsBefore } from "./event-store.ts";

export interface RetentionOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly retentionDays: number;
  readonly onError: (error: unknown) => void;
}

const DAY_MICROS = 86_400_000_000;
const HOUR_MS = 3_600_000;
/** So few at once that nobody waits long for the embedded store. */
const PORTION = 500;

/** A service that looks once an hour, at once for the first time. */
export function eventRetention({ db, namespace, clock, retentionDays, onError }: RetentionOptions): Loop {
  return new Loop({
    intervalMs: HOUR_MS,
    step: async () => {
      const before = plusMicros(clock.now(), -retentionDays * DAY_MICROS);
      return (await deleteEventsBefore(db, namespace, before, PORTION)) === PORTION;
    },
    onError,
  });
}
