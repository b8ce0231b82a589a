/** Metrics of balances in memory. */

import { Counter, Gauge, type Registry } from "prom-client";
import type { LiveBalances } from "../entitlements/index.ts";

export class BalanceMetrics {
  readonly #differences: Counter;

  constructor(registry: Registry, live: Pick<LiveBalances, "size" | "counts">) {
    registry.registerMetric(
      new Gauge({
        registers: [],
        name: "tallystick_balances_in_memory",
        help: "Balances of metered entitlements that are kept in memory.",
        collect() {
          this.set(live.size);
        },
      }),
    );
    const causes = {
      rebuilt: ["tallystick_balance_rebuilds_total", "Balances read from the event store into memory."],
      late: ["tallystick_balances_late_total", "Balances dropped from memory by usage of a time that was closed."],
      gaps: [
        "tallystick_balance_feed_gaps_total",
        "Times when all balances were dropped because the sink was restarted.",
      ],
    } as const;
    for (const [cause, [name, help]] of Object.entries(causes)) {
      let told = 0;
      registry.registerMetric(
        new Counter({
          registers: [],
          name,
          help,
          collect() {
            const count = live.counts[cause as keyof typeof causes];
            this.inc(count - told);
            told = count;
          },
        }),
      );
    }
    this.#differences = new Counter({
      registers: [registry],
      name: "tallystick_balance_differences_total",
      help: "Balances in memory that differed from a recomputation. Any is a defect.",
    });
  }

  differed(): void {
    this.#differences.inc();
  }
}
