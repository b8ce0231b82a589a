/**
 * Reads watched usage off the events of a batch while the sink has each of them parsed anyway.
 *
 * Which events count is known only after all of them are read, so values are collected first and added up in the end, in
 * exact integers. With nothing watched it costs one comparison per batch.
 */

import { eventBytes, type EventBytes, type StoredEvent, textPredicate } from "../../engines/event-store/index.ts";
import { microsPerMinute } from "../../kernel/civil.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import { JsonTape } from "../../kernel/json.ts";
import { TapePath } from "./tape-path.ts";
import type { UsageFeed, WatchedUsage } from "./usage-feed.ts";

/** Usage with its paths and filters ready to be applied. */
interface Watch {
  readonly key: string;
  readonly kind: "SUM" | "COUNT" | "UNIQUE_COUNT" | "LATEST";
  readonly namespace: Uint8Array;
  readonly eventFrom: number;
  readonly value: TapePath | null;
  readonly conditions: readonly { readonly path: TapePath; readonly isMatch: (marked: string) => boolean }[];
}

/** Deeper than any limit on ingest. */
const MAX_DEPTH = 1024;

/** Watched usage by the bytes of the event type, as latin-1 text. */
type Watches = ReadonlyMap<string, readonly Watch[]>;

/** The watched usage of a sink; a change counts from the next batch on. */
export class FeedExtractor {
  #watches: Watches = new Map();

  /** Replaces what is watched. */
  watch(usages: readonly WatchedUsage[]): void {
    this.#watches = Map.groupBy(usages.map(compiled), ({ type }) => type);
  }

  /** Starts a batch; null when nothing is watched. */
  begin(): FeedBatch | null {
    return this.#watches.size === 0 ? null : new FeedBatch(this.#watches);
  }
}

function compiled({ key, meter, filters }: WatchedUsage): Watch & { readonly type: string } {
  const { aggregation } = meter;
  const conditions = [...filters].flatMap(([name, filter]) => {
    const path = meter.groupBy.get(name);
    return path === undefined ? [] : [{ path: new TapePath(path), isMatch: textPredicate(filter) }];
  });
  return {
    key,
    kind: aggregation === "SUM" || aggregation === "UNIQUE_COUNT" || aggregation === "LATEST" ? aggregation : "COUNT",
    namespace: Buffer.from(meter.namespace),
    type: Buffer.from(meter.eventType).toString("latin1"),
    eventFrom: meter.eventFrom ?? Number.NEGATIVE_INFINITY,
    value: meter.valuePath === undefined ? null : new TapePath(meter.valuePath),
    conditions,
  };
}

/** Collects the watched usage of one batch. */
export class FeedBatch {
  readonly #watches: Watches;
  readonly #rows: number[] = [];
  readonly #found: Watch[] = [];
  readonly #subjects: string[] = [];
  readonly #times: number[] = [];
  readonly #arrivals: number[] = [];
  readonly #values: string[] = [];
  #bytes: Uint8Array = new Uint8Array(0);
  #buffer: Buffer = Buffer.alloc(0);

  constructor(watches: Watches) {
    this.#watches = watches;
  }

  /**
   * Adds the event with this place in the batch; `type` is the latin-1 text of its type, `tape` holds its parsed data unless
   * it has none.
   */
  add(row: number, type: string, namespace: Uint8Array, event: EventBytes, ingestedAt: Instant, tape: JsonTape): void {
    const watches = this.#watches.get(type);
    if (watches === undefined) return;
    if (this.#bytes !== event.bytes) {
      this.#bytes = event.bytes;
      this.#buffer = Buffer.from(event.bytes.buffer, event.bytes.byteOffset, event.bytes.byteLength);
    }
    const hasData = event.dataEnd > event.dataStart;
    let subject: string | null = null;
    for (const watch of watches) {
      if (event.time < watch.eventFrom || Buffer.compare(watch.namespace, namespace) !== 0) continue;
      const value = valueOf(watch, hasData ? tape : null);
      if (value === null || !isMatch(watch, hasData ? tape : null)) continue;
      subject ??= this.#buffer.toString("utf8", event.subjectStart, event.subjectEnd);
      this.#rows.push(row);
      this.#found.push(watch);
      this.#subjects.push(subject);
      this.#times.push(event.time);
      this.#arrivals.push(ingestedAt);
      this.#values.push(value);
    }
  }

  /** The usage of the events that count; `from` is the offset of the first row of the batch. */
  finish(isOwn: (row: number) => boolean, from: number): UsageFeed {
    const columns = new FeedColumns();
    this.#rows.forEach((row, at) => {
      const watch = this.#found[at];
      if (watch === undefined || !isOwn(row)) return;
      const place = { time: this.#times[at] ?? 0, arrival: this.#arrivals[at] ?? 0, offset: from + row };
      columns.add(watch, this.#subjects[at] ?? "", place, this.#values[at] ?? "");
    });
    return columns.finish();
  }
}

/** The text to add up, to count or to tell apart; null when the event does not count. */
function valueOf({ kind, value }: Watch, tape: JsonTape | null): string | null {
  if (kind === "COUNT") return "1";
  if (value === null || tape === null) return null;
  return kind === "UNIQUE_COUNT" ? value.text(tape) : value.number(tape);
}

function isMatch({ conditions }: Watch, tape: JsonTape | null): boolean {
  return conditions.every(({ path, isMatch: holds }) => {
    const text = tape === null ? null : path.text(tape);
    if (text !== null) return holds(`=${text}`);
    return holds(tape !== null && path.isNull(tape) ? "-null" : "-");
  });
}

interface Place {
  readonly time: number;
  readonly arrival: number;
  readonly offset: number;
}

/** Adds values up into the columns of a feed; the last minute of each subject is what further values are added to. */
class FeedColumns {
  readonly #keys: string[] = [];
  readonly #places = new Map<Watch, { readonly index: number; readonly entries: Map<string, number> }>();
  readonly #watched: number[] = [];
  readonly #minutes: number[] = [];
  readonly #subjects: string[] = [];
  readonly #times: number[] = [];
  readonly #arrivals: number[] = [];
  readonly #offsets: number[] = [];
  readonly #values: string[] = [];
  /** Sums of more than one value, in units of the last place that an event's value has. */
  readonly #sums = new Map<number, bigint>();

  add(watch: Watch, subject: string, place: Place, value: string): void {
    const known = this.#place(watch);
    const minute = Math.floor(place.time / microsPerMinute);
    const entry = known.entries.get(subject);
    if (entry !== undefined && this.#minutes[entry] === minute && this.#merge(watch, entry, place, value)) return;
    const isLatest = watch.kind === "LATEST";
    known.entries.set(subject, this.#watched.length);
    this.#minutes.push(minute);
    this.#watched.push(known.index);
    this.#subjects.push(subject);
    this.#times.push(isLatest ? place.time : minute * microsPerMinute);
    this.#arrivals.push(isLatest ? place.arrival : 0);
    this.#offsets.push(isLatest ? place.offset : 0);
    this.#values.push(value);
  }

  finish(): UsageFeed {
    for (const [entry, sum] of this.#sums) this.#values[entry] = Decimal.fromScaledInteger(sum, SUM_SCALE).toText();
    return {
      keys: this.#keys,
      watched: this.#watched,
      subjects: this.#subjects,
      times: this.#times,
      arrivals: this.#arrivals,
      offsets: this.#offsets,
      values: this.#values,
    };
  }

  #place(watch: Watch): { readonly index: number; readonly entries: Map<string, number> } {
    let place = this.#places.get(watch);
    if (place === undefined) {
      place = { index: this.#keys.length, entries: new Map() };
      this.#places.set(watch, place);
      this.#keys.push(watch.key);
    }
    return place;
  }

  /** Adds the value to an entry of the same minute; false where it has to stand for itself. */
  #merge({ kind }: Watch, entry: number, place: Place, value: string): boolean {
    switch (kind) {
      case "UNIQUE_COUNT":
        return this.#values[entry] === value;
      case "LATEST":
        this.#replace(entry, place, value);
        return true;
      default:
        this.#sums.set(entry, (this.#sums.get(entry) ?? scaled(this.#values[entry] ?? "0")) + scaled(value));
        return true;
    }
  }

  /** The later event by time, then by the order of arrival. */
  #replace(entry: number, { time, arrival, offset }: Place, value: string): void {
    const [knownTime = 0, knownArrival = 0] = [this.#times[entry], this.#arrivals[entry]];
    const order = time - knownTime || arrival - knownArrival || offset - (this.#offsets[entry] ?? 0);
    if (order < 0) return;
    this.#times[entry] = time;
    this.#arrivals[entry] = arrival;
    this.#offsets[entry] = offset;
    this.#values[entry] = value;
  }
}

/** Values have at most so many fractional digits. */
const SUM_SCALE = 24;

/** `text * 10^24` of a plain decimal. */
function scaled(text: string): bigint {
  const point = text.indexOf(".");
  const whole = point < 0 ? text : text.slice(0, point);
  const fraction = point < 0 ? "" : text.slice(point + 1);
  return BigInt(whole + fraction.padEnd(SUM_SCALE, "0"));
}

/** The usage in events that are stored already, in the order of their offsets or in any other. */
export function usageOfEvents(usage: WatchedUsage, events: readonly StoredEvent[]): UsageFeed {
  const columns = new FeedColumns();
  const watch = compiled(usage);
  const tape = new JsonTape(MAX_DEPTH);
  for (const event of events) {
    const { bytes, dataStart, dataEnd } = eventBytes(event);
    const hasData = dataEnd > dataStart;
    if (hasData) tape.parse(bytes, dataStart, dataEnd);
    const value = valueOf(watch, hasData ? tape : null);
    if (event.time < watch.eventFrom || value === null || !isMatch(watch, hasData ? tape : null)) continue;
    columns.add(watch, event.subject, { time: event.time, arrival: event.ingestedAt, offset: event.offset }, value);
  }
  return columns.finish();
}
