/** Metrics of notifications. Names follow those of `metrics.ts`. */

import { Counter, Gauge, type Registry } from "prom-client";
import type { AttemptResult } from "../../../notifications/index.ts";

export class NotificationMetrics {
  readonly #events: Counter;
  readonly #attempts: Counter;
  readonly #skipped: Counter;

  /** `unfinished` is asked at each scrape. */
  constructor(registry: Registry, unfinished: () => Promise<number>) {
    const registers = [registry];
    this.#events = new Counter({
      registers,
      name: "tallystick_notification_events_total",
      help: "Notification events created because a rule applied.",
    });
    this.#attempts = new Counter({
      registers,
      name: "tallystick_notification_attempts_total",
      help: "Attempts to deliver a webhook: success, retry (to be tried again) or failed (given up).",
      labelNames: ["outcome"],
    });
    this.#skipped = new Counter({
      registers,
      name: "tallystick_notification_resets_skipped_total",
      help: "Resets of usage periods that were not told because they were more than 48 hours old.",
    });
    registry.registerMetric(
      new Gauge({
        registers: [],
        name: "tallystick_notification_deliveries_pending",
        help: "Webhooks that are neither delivered nor given up.",
        async collect() {
          this.set(await unfinished());
        },
      }),
    );
  }

  created(count: number): void {
    this.#events.inc(count);
  }

  attempted(outcome: AttemptResult): void {
    this.#attempts.inc({ outcome });
  }

  skipped(count: number): void {
    this.#skipped.inc(count);
  }
}
