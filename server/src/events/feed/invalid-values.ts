/**
 * Counts the events of a batch that yield no value for a meter of their type, while the sink has each of them parsed anyway.
 *
 * The rules are those by which a listing explains events, which a test compares: a numeric aggregation wants a number,
 * UNIQUE_COUNT a text, a number or a boolean, COUNT nothing; since when a meter counts does not matter. The check costs a look
 * at the value and allocates nothing for an ordinary one; only what fails is remembered until it is known which events count.
 *
 * Invariant: an event that lost its identity is not counted. An event whose batch is committed without a report, because
 * the sink ended in between, is missing in the counts; one that is stored again, because the state store lost its last
 * commits, is counted again.
 */

import type { EventBytes, JsonPath, MeterView } from "../../engines/event-store/index.ts";
import type { JsonTape } from "../../kernel/json.ts";
import { LatinTexts } from "./latin-texts.ts";
import { TapePath } from "./tape-path.ts";

/** A meter whose values are looked at. Plain data, because it crosses a thread's border by structured clone. */
export interface CheckedMeter extends Pick<MeterView, "namespace" | "eventType" | "aggregation"> {
  readonly slug: string;
  readonly valuePath: JsonPath;
}

/** How many events of a batch yield no value for a meter; at least one does. */
export interface InvalidValues {
  readonly namespace: string;
  /** The meter's slug. */
  readonly meter: string;
  readonly events: number;
}

/** What is looked at once for all meters that want the same of the same path. */
interface Check {
  readonly path: TapePath;
  readonly isTextEnough: boolean;
  readonly meters: readonly CheckedMeter[];
}

/** By namespace, then by event type, both as latin-1 texts of their bytes. */
type Checks = ReadonlyMap<string, ReadonlyMap<string, readonly Check[]>>;

/** The meters that a sink checks; a change counts from the next batch on. */
export class InvalidValueCounter {
  readonly #texts = new LatinTexts();
  #checks: Checks = new Map();

  /** Replaces the meters. */
  check(meters: readonly CheckedMeter[]): void {
    const checked = meters.filter(({ aggregation }) => aggregation !== "COUNT");
    this.#checks = mapped(
      Map.groupBy(checked, ({ namespace }) => latin(namespace)),
      (ofNamespace) =>
        mapped(
          Map.groupBy(ofNamespace, ({ eventType }) => latin(eventType)),
          checksOf,
        ),
    );
  }

  /** Starts a batch; null when no meter is checked. */
  begin(): InvalidValueBatch | null {
    return this.#checks.size === 0 ? null : new InvalidValueBatch(this.#checks, this.#texts);
  }
}

/** Collects the invalid values of one batch. */
export class InvalidValueBatch {
  readonly #checks: Checks;
  readonly #texts: LatinTexts;
  readonly #rows: number[] = [];
  readonly #failed: Check[] = [];

  constructor(checks: Checks, texts: LatinTexts) {
    this.#checks = checks;
    this.#texts = texts;
  }

  /**
   * Adds the event with this place in the batch; `type` is the latin-1 text of its type, `tape` holds its parsed data unless
   * it has none.
   */
  add(row: number, type: string, namespace: Uint8Array, event: EventBytes, tape: JsonTape): void {
    const checks = this.#checks.get(this.#texts.of(namespace, 0, namespace.length))?.get(type);
    if (checks === undefined) return;
    const hasData = event.dataEnd > event.dataStart;
    for (const check of checks) {
      if (hasData && (check.isTextEnough ? check.path.hasText(tape) : check.path.hasNumber(tape))) continue;
      this.#rows.push(row);
      this.#failed.push(check);
    }
  }

  /** The counts of the events that count, for meters that have any. */
  finish(isOwn: (row: number) => boolean): readonly InvalidValues[] {
    const counts = new Map<Check, number>();
    this.#failed.forEach((check, at) => {
      if (isOwn(this.#rows[at] ?? -1)) counts.set(check, (counts.get(check) ?? 0) + 1);
    });
    return [...counts].flatMap(([{ meters }, events]) =>
      meters.map(({ namespace, slug }) => ({ namespace, meter: slug, events })),
    );
  }
}

function checksOf(meters: readonly CheckedMeter[]): readonly Check[] {
  const isTextEnough = ({ aggregation }: CheckedMeter): boolean => aggregation === "UNIQUE_COUNT";
  const alike = Map.groupBy(meters, (meter) => `${isTextEnough(meter)} ${meter.valuePath.text}`);
  return [...alike.values()].flatMap((same) =>
    same.slice(0, 1).map((first) => ({
      path: new TapePath(first.valuePath),
      isTextEnough: isTextEnough(first),
      meters: same,
    })),
  );
}

function mapped<From, To>(map: ReadonlyMap<string, From>, to: (value: From) => To): ReadonlyMap<string, To> {
  return new Map([...map].map(([key, value]) => [key, to(value)]));
}

function latin(text: string): string {
  return Buffer.from(text).toString("latin1");
}
