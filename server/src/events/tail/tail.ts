/**
 * The live tail: accepted events in the order of the log, from some position on, for as long as somebody looks.
 *
 * Invariants:
 * 1. Events are shown after they are durable, in log order, without a gap and without a repeat; resuming after a position
 *    goes on with the very next event.
 * 2. A tail pulls. It reads on only when its consumer asks, and holds nothing meanwhile: what was read last is shared by
 *    all tails and bounded (`SharedReads`), however many tails there are and however slow they are.
 * 3. It shows arrivals: duplicates and conflicts too, because the log comes before the decision what counts.
 */

import { type EventLogReader, type LogRecord, OffsetTrimmed } from "../../engines/event-log/index.ts";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant, instantFromMicros } from "../../kernel/instant.ts";
import { EventReader } from "../event-codec.ts";
import { eventJson } from "../event-json.ts";
import { SharedReads } from "./shared-reads.ts";

/** A slice ends after so many events looked at, about a millisecond of computing, ... */
const SLICE_EVENTS = 500;
/** ... or when its events have so many characters. */
const SLICE_CHARACTERS = 64 * 1024;

/** What to show. Values of one attribute are alternatives; all attributes that are named must match. */
export interface TailQuery {
  readonly types?: readonly string[] | undefined;
  readonly sources?: readonly string[] | undefined;
  readonly subjects?: readonly string[] | undefined;
  /** Shows what follows this position; what is accepted from now on if it is undefined. */
  readonly after?: string | undefined;
}

export interface TailedEvent {
  /** `<partition>-<offset>`. */
  readonly position: string;
  /** JSON text of the event and its ingestion instant; `data` is in it byte for byte. */
  readonly json: string;
}

/** One step of a tail. */
export interface TailSlice {
  /** How far the tail has looked, whether or not anything matched; null before the first event of the log. */
  readonly position: string | null;
  readonly events: readonly TailedEvent[];
}

export interface EventTailOptions {
  readonly log: Pick<EventLogReader, "start" | "end" | "read" | "waitFor">;
  readonly partition: number;
  readonly namespace: string;
}

export class EventTail {
  readonly #options: EventTailOptions;
  readonly #reads: SharedReads;
  readonly #namespace: Buffer;

  constructor(options: EventTailOptions) {
    this.#options = options;
    this.#reads = new SharedReads(options.log, options.partition);
    this.#namespace = Buffer.from(options.namespace);
  }

  /**
   * Starts a tail, which ends when `signal` is aborted. The first slice is empty and tells where the tail starts. Faults,
   * at once: `invalid_stream_position`, `stream_position_expired`; the latter also while it runs, when a slow consumer's
   * position is trimmed from the log.
   */
  open(query: TailQuery, signal: AbortSignal): AsyncGenerator<TailSlice, void, void> {
    const { log, partition } = this.#options;
    const from = query.after === undefined ? log.end(partition) : this.#offsetAfter(query.after);
    if (from < log.start(partition)) throw this.#expired(from);
    return this.#slices(from, new EventMatcher(query, this.#namespace), signal);
  }

  async *#slices(from: number, matcher: EventMatcher, signal: AbortSignal): AsyncGenerator<TailSlice, void, void> {
    const { log, partition } = this.#options;
    let offset = from;
    yield this.#slice(offset, []);
    for (;;) {
      await log.waitFor(partition, offset, signal);
      if (signal.aborted) return;
      // The records are not a variable here: they would stay in memory while the consumer takes its time.
      const part = await this.#read(offset, matcher);
      offset = part.next;
      yield this.#slice(offset, part.events);
      // Everything may come from memory: other requests get their turn between two slices.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #slice(next: number, events: readonly TailedEvent[]): TailSlice {
    return { position: next === 0 ? null : formatPosition(this.#options.partition, next - 1), events };
  }

  async #read(offset: number, matcher: EventMatcher): Promise<LogPart> {
    try {
      return partOf(await this.#reads.at(offset), offset, matcher);
    } catch (error) {
      throw error instanceof OffsetTrimmed ? this.#expired(offset) : error;
    }
  }

  /** The offset that follows a position which this log gave out. */
  #offsetAfter(position: string): number {
    const { log, partition } = this.#options;
    const match = /^([0-9]{1,5})-([0-9]{1,15})$/.exec(position);
    const next = Number(match?.[2]) + 1;
    if (match !== null && Number(match[1]) === partition && next <= log.end(partition)) return next;
    const text = JSON.stringify(position);
    const message = `${text} is no position of this event log; pass the id of a message that was received, unchanged`;
    throw positionFault("invalid_stream_position", message);
  }

  #expired(offset: number): Fault {
    const { log, partition } = this.#options;
    const oldest = formatPosition(partition, log.start(partition));
    const message =
      `the event log no longer holds event ${formatPosition(partition, offset)}; its oldest is ${oldest}. ` +
      "Start without a position, and read what was missed from GET /api/v2/events";
    return positionFault("stream_position_expired", message);
  }
}

function formatPosition(partition: number, offset: number): string {
  return `${partition}-${offset}`;
}

function positionFault(code: string, message: string): Fault {
  return new Fault("validation", code, message, { fields: [{ code, message, field: "$.lastEventId" }] });
}

/** Matching events of a piece of the log, which ends before the offset `next`. */
interface LogPart {
  readonly next: number;
  readonly events: readonly TailedEvent[];
}

/** A slice of `records`, from the event at `from` on, which the first of them contains or precedes. */
function partOf(records: readonly LogRecord[], from: number, matcher: EventMatcher): LogPart {
  const events: TailedEvent[] = [];
  let next = from;
  let characters = 0;
  for (const { partition, offset: first, count, ingestedAt, payload } of records) {
    if (first + count <= from) continue;
    const reader = new EventReader(payload);
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    for (let offset = first; reader.next(); offset++) {
      if (offset < from) continue;
      next = offset + 1;
      if (matcher.matches(bytes, reader)) {
        const instant = formatInstant(instantFromMicros(ingestedAt + offset - first));
        const json = `{"event":${decode(bytes, reader)},"ingestedAt":"${instant}"}`;
        characters += json.length;
        events.push({ position: formatPosition(partition, offset), json });
      }
      if (next - from >= SLICE_EVENTS || characters >= SLICE_CHARACTERS) return { next, events };
    }
  }
  return { next, events };
}

function decode(bytes: Buffer, at: EventReader): string {
  const text = (start: number, end: number): string => bytes.toString("utf8", start, end);
  return eventJson({
    id: text(at.idStart, at.idEnd),
    source: text(at.sourceStart, at.sourceEnd),
    type: text(at.typeStart, at.typeEnd),
    subject: text(at.subjectStart, at.subjectEnd),
    time: at.time,
    data: at.dataEnd === at.dataStart ? null : text(at.dataStart, at.dataEnd),
  });
}

/** Compares bytes, so that an event that nobody wants is never decoded. */
class EventMatcher {
  readonly #namespace: Buffer;
  readonly #types: readonly Buffer[] | undefined;
  readonly #sources: readonly Buffer[] | undefined;
  readonly #subjects: readonly Buffer[] | undefined;

  constructor(query: TailQuery, namespace: Buffer) {
    this.#namespace = namespace;
    this.#types = query.types?.map((value) => Buffer.from(value));
    this.#sources = query.sources?.map((value) => Buffer.from(value));
    this.#subjects = query.subjects?.map((value) => Buffer.from(value));
  }

  /** Whether the reader's current event, in `bytes`, is wanted. */
  matches(bytes: Buffer, at: EventReader): boolean {
    return (
      this.#namespace.equals(at.namespace) &&
      isOneOf(this.#types, bytes, at.typeStart, at.typeEnd) &&
      isOneOf(this.#sources, bytes, at.sourceStart, at.sourceEnd) &&
      isOneOf(this.#subjects, bytes, at.subjectStart, at.subjectEnd)
    );
  }
}

function isOneOf(values: readonly Buffer[] | undefined, bytes: Buffer, start: number, end: number): boolean {
  return values === undefined || values.some((value) => bytes.compare(value, 0, value.length, start, end) === 0);
}
