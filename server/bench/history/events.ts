/**
 * A history of usage: months of events of an AI product in the order in which they would have arrived.
 *
 * Every field follows from the event's number, so that an interrupted load goes on where it stopped, and what was sent twice
 * counts once. A quarter of the events is of one type, `prompt`, the rest of 49 others; there are 10,000 subjects with five
 * users each and five models. Event times ascend, off by up to a minute, and one event in a hundred is up to a day late.
 *
 * All fields have a fixed width: an event is made by overwriting the one that was sent before it in the same request.
 */

import { type EventSource, type PreparedRequest, renderRequest, writeHex } from "../ingest/load.ts";

/** Events `origin` to `origin + events - 1` are spread evenly over `spanMs` from `fromMs` (milliseconds since the epoch). */
export interface History {
  readonly fromMs: number;
  readonly spanMs: number;
  readonly origin: number;
  readonly events: number;
}

/** A history of 1 January to 31 March 2026: the last month of it is what most queries ask about. */
export function historyOfQuarter(events: number): History {
  const fromMs = Date.UTC(2026, 0, 1);
  return { fromMs, spanMs: Date.UTC(2026, 3, 1) - fromMs, origin: 0, events };
}

/** The event type that the queries ask about. */
export const PROMPT = "prompt";
export const HISTORY_TYPES: readonly string[] = [
  PROMPT,
  ...Array.from({ length: 49 }, (_, index) => `tool${String(index + 1).padStart(2, "0")}`),
];
export const MODELS: readonly string[] = ["gpt-4o", "gpt-41", "o4mini", "opus-5", "llama4"];
const SUBJECTS = 10_000;
const USERS_PER_SUBJECT = 5;
const LEAST_TOKENS = 1_000;
const TOKENS_RANGE = 9_000;

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const LATE_SHARE = 100;
const ZERO = 0x30;

/** The key of a subject, 0 to 9,999. */
export function subjectKey(index: number): string {
  return `customer-${String(index % SUBJECTS).padStart(6, "0")}`;
}

/** Reads what `JSON.stringify` makes of a history. */
export function parseHistory(text: string): History {
  const history: History = JSON.parse(text);
  return history;
}

/** The history as requests of `batchSize` events, one request per connection. */
export function historyEvents(host: string, batchSize: number, history: History): EventSource {
  const dates = datesOf(history);
  return { types: HISTORY_TYPES, requestsOf: () => [historyRequest(host, batchSize, history, dates)] };
}

/** The days of the history as text, and how many there are before it begins. */
interface Dates {
  readonly firstDay: number;
  readonly texts: readonly Buffer[];
}

/** Formatting a date takes longer than everything else about an event, so that each is formatted once. */
function datesOf({ fromMs, spanMs }: History): Dates {
  const firstDay = Math.floor(fromMs / DAY_MS) - 1;
  const count = Math.ceil(spanMs / DAY_MS) + 3;
  const text = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, "2026-01-01".length);
  return { firstDay, texts: Array.from({ length: count }, (_, index) => Buffer.from(text(firstDay + index))) };
}

const TYPE_TEXTS = HISTORY_TYPES.map((type) => Buffer.from(type));
const MODEL_TEXTS = MODELS.map((model) => Buffer.from(model));
/** Has a zero or a first value wherever an event has its own. */
const TEMPLATE = JSON.stringify({
  specversion: "1.0",
  id: "0".repeat(32),
  source: "api-gateway-eu-1",
  type: PROMPT,
  subject: subjectKey(0),
  time: "2026-01-01T00:00:00.000Z",
  data: { model: MODELS[0], tokens: LEAST_TOKENS, duration_ms: 1000.5, user: "user-000000" },
});

/** Where a member's value begins in the template. */
function valueStart(name: string, prefix = ""): number {
  return TEMPLATE.indexOf(`"${name}":${prefix}`) + `"${name}":${prefix}`.length;
}

const AT = {
  id: valueStart("id", '"'),
  type: valueStart("type", '"'),
  subject: valueStart("subject", '"customer-'),
  time: valueStart("time", '"'),
  model: valueStart("model", '"'),
  tokens: valueStart("tokens"),
  duration: valueStart("duration_ms"),
  user: valueStart("user", '"user-'),
} as const;

function historyRequest(host: string, batchSize: number, history: History, dates: Dates): PreparedRequest {
  const events = Array.from({ length: batchSize }, () => TEMPLATE);
  const { bytes, bodyBytes, bodyStart } = renderRequest(host, events);
  const firstAt = bodyStart + (batchSize === 1 ? 0 : 1);
  const types = events.map(() => 0);
  const tokens = events.map(() => 0);
  const renew = (firstEvent: number): void => {
    for (let index = 0; index < batchSize; index++) {
      const at = firstAt + index * (TEMPLATE.length + 1);
      const number = firstEvent + index;
      // Independent hashes for independent fields; two small fields may share one.
      const [first, second, third] = [mixed(number, 1), mixed(number, 2), mixed(number, 3)];
      const type = first % 4 === 0 ? 0 : 1 + ((first >>> 2) % (HISTORY_TYPES.length - 1));
      const subject = second % SUBJECTS;
      const used = LEAST_TOKENS + (third % TOKENS_RANGE);
      types[index] = type;
      tokens[index] = used;
      for (let word = 0; word < 4; word++) writeHex(bytes, at + AT.id + 8 * word, mixed(number, 4 + word));
      bytes.set(TYPE_TEXTS[type] ?? [], at + AT.type);
      writeDigits(bytes, at + AT.subject, subject, 6);
      writeTime(bytes, at + AT.time, eventTimeMs(history, number), dates);
      bytes.set(MODEL_TEXTS[(second >>> 16) % MODELS.length] ?? [], at + AT.model);
      writeDigits(bytes, at + AT.tokens, used, 4);
      writeDigits(bytes, at + AT.duration, LEAST_TOKENS + ((third >>> 8) % TOKENS_RANGE), 4);
      writeDigits(bytes, at + AT.user, subject * USERS_PER_SUBJECT + ((first >>> 20) % USERS_PER_SUBJECT), 6);
    }
  };
  return { bytes, bodyBytes, types, tokens, renew };
}

/** When an event happened, in milliseconds since the epoch; always within the history's span. */
function eventTimeMs({ fromMs, spanMs, origin, events }: History, number: number): number {
  const hash = mixed(number, 9);
  const evenly = Math.floor(((number - origin) * spanMs) / events);
  const lateness = mixed(number, 8) % LATE_SHARE === 0 ? hash % DAY_MS : 0;
  const since = evenly + (hash % (2 * MINUTE_MS)) - MINUTE_MS - lateness;
  // What would lie outside is mirrored at the border, which keeps times apart from each other.
  const mirrored = since < 0 ? -since : since >= spanMs ? 2 * spanMs - 1 - since : since;
  return fromMs + Math.min(spanMs - 1, Math.max(0, mirrored));
}

/** A random-looking 32-bit number from an event's number and a purpose (the finalizer of MurmurHash3). */
function mixed(number: number, purpose: number): number {
  let hash = Math.imul(number, 0x9e3779b1) + Math.imul(purpose, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Writes `2026-01-01T00:00:00.000Z` without its punctuation, which is there already. */
function writeTime(bytes: Buffer, at: number, timeMs: number, dates: Dates): void {
  const day = Math.floor(timeMs / DAY_MS);
  const inDay = timeMs - day * DAY_MS;
  bytes.set(dates.texts[day - dates.firstDay] ?? [], at);
  writeDigits(bytes, at + 11, Math.floor(inDay / HOUR_MS), 2);
  writeDigits(bytes, at + 14, Math.floor(inDay / MINUTE_MS) % 60, 2);
  writeDigits(bytes, at + 17, Math.floor(inDay / 1000) % 60, 2);
  writeDigits(bytes, at + 20, inDay % 1000, 3);
}

function writeDigits(bytes: Buffer, at: number, value: number, digits: number): void {
  let rest = value;
  for (let position = at + digits - 1; position >= at; position--) {
    bytes[position] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
