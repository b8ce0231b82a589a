/**
 * The events of the ingest benchmark: what an AI product would meter, 250 to 300 bytes each, rendered once.
 *
 * Invariants: an event's type, tokens and size never change, only its id does; ids are unique within a run and, by their
 * random part, across runs.
 */

import { randomBytes, randomInt, randomUUID } from "node:crypto";

export const EVENT_TYPES: readonly string[] = Array.from({ length: 50 }, (_, index) => `llm.request.kind_${index}`);
const SUBJECTS = 10_000;
const MODELS = ["gpt-5", "gpt-5-mini", "claude-opus-5", "gemini-3-pro", "llama-5-405b"] as const;
/** Event times lie in so many hours before the run. */
const RECENT_HOURS = 6;
const HOUR_MS = 3_600_000;
const MAX_TOKENS = 8_000;
/** The last digits of an id, 16 of its 32, are written anew for every event. */
const PATCHED_DIGITS = 16;
/** Distinct events per run at least: enough for every subject, type and model to occur. */
const DISTINCT_EVENTS = 12_800;
const HEX = Buffer.from("0123456789abcdef");

/** What a run sent and what became of it. Counts are of acknowledged events; all others were never sent. */
export interface LoadReport {
  readonly requests: number;
  readonly events: number;
  /** Of all bodies, in bytes. */
  readonly bodyBytes: number;
  /** Per event type, in the order of `EVENT_TYPES`. */
  readonly countByType: readonly number[];
  readonly tokensByType: readonly number[];
  /** Milliseconds since the epoch. */
  readonly firstSentMs: number;
  readonly lastAcknowledgedMs: number;
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
  readonly cpuSeconds: number;
}

/** A whole HTTP request, ready to be written to a socket once its ids are set. */
export interface PreparedRequest {
  readonly bytes: Buffer;
  readonly bodyBytes: number;
  /** Index of each event's type. */
  readonly types: readonly number[];
  readonly tokens: readonly number[];
  /** Makes the events `firstEvent`, `firstEvent + 1`, ... of the run out of what was sent before. */
  renew(firstEvent: number): void;
}

/** The requests of a run: those of a connection are used by no other, one at a time. */
export interface EventSource {
  readonly types: readonly string[];
  requestsOf(connection: number): readonly PreparedRequest[];
}

/** Events of the last hours for so many connections, rendered once in requests of `batchSize`. */
export function recentEvents(host: string, batchSize: number, connections: number): EventSource {
  const requests = preparedRequests(host, Math.ceil(DISTINCT_EVENTS / batchSize), batchSize);
  const requestsOf = (connection: number) => requests.filter((_, index) => index % connections === connection);
  return { types: EVENT_TYPES, requestsOf };
}

/** Renders `count` requests of `batchSize` events. Types take turns, so that every batch of 50 or more has all of them. */
function preparedRequests(host: string, count: number, batchSize: number): PreparedRequest[] {
  return Array.from({ length: count }, (_, index) => preparedRequest(host, index * batchSize, batchSize));
}

function preparedRequest(host: string, firstEvent: number, batchSize: number): PreparedRequest {
  const types: number[] = [];
  const tokens: number[] = [];
  const idPositions: number[] = [];
  const events: string[] = [];
  let length = 1;
  for (let index = 0; index < batchSize; index++) {
    const type = (firstEvent + index) % EVENT_TYPES.length;
    const used = randomInt(1, MAX_TOKENS);
    const text = eventText(EVENT_TYPES[type] ?? "", used);
    types.push(type);
    tokens.push(used);
    idPositions.push(length + text.indexOf('"id":"') + '"id":"'.length + 32 - PATCHED_DIGITS);
    length += text.length + 1;
    events.push(text);
  }
  const { bytes, bodyBytes, bodyStart } = renderRequest(host, events);
  const offset = bodyStart - (batchSize === 1 ? 1 : 0);
  const positions = idPositions.map((position) => position + offset);
  return { bytes, bodyBytes, types, tokens, renew: (first) => setIds(bytes, positions, first) };
}

/** The HTTP request that sends these events: one by itself, several as a batch. All texts are ASCII. */
export function renderRequest(host: string, events: readonly string[]) {
  const [single = ""] = events;
  const body = events.length === 1 ? single : `[${events.join(",")}]`;
  const mediaType = events.length === 1 ? "application/cloudevents+json" : "application/cloudevents-batch+json";
  const head = `POST /api/v1/events HTTP/1.1\r\nhost: ${host}\r\ncontent-type: ${mediaType}\r\ncontent-length: ${body.length}\r\n\r\n`;
  return { bytes: Buffer.from(head + body), bodyBytes: body.length, bodyStart: head.length };
}

/** An event as JSON text, in ASCII. */
function eventText(type: string, tokens: number): string {
  return JSON.stringify({
    specversion: "1.0",
    id: randomBytes(16).toString("hex"),
    source: "api-gateway-eu-1",
    type,
    subject: `customer-${String(randomInt(SUBJECTS)).padStart(6, "0")}`,
    time: new Date(Date.now() - randomInt(RECENT_HOURS * HOUR_MS)).toISOString(),
    data: {
      model: MODELS[randomInt(MODELS.length)],
      tokens,
      duration_ms: randomInt(100, 30_000) / 10,
      user: randomUUID().slice(0, 18),
    },
  });
}

/**
 * Makes the request's events unique: they become events `firstEvent`, `firstEvent + 1`, ... of the run. Multiplying by an
 * odd number maps the 2^32 event numbers one to one, and makes ids as hard to compress as random ones.
 */
function setIds(bytes: Buffer, idPositions: readonly number[], firstEvent: number): void {
  for (let index = 0; index < idPositions.length; index++) {
    const event = firstEvent + index;
    const at = idPositions[index] ?? 0;
    writeHex(bytes, at, Math.imul(event, 0x9e3779b1));
    writeHex(bytes, at + 8, Math.imul(event ^ 0x5bd1e995, 0x85ebca6b));
  }
}

/** Writes 8 digits at `at`. */
export function writeHex(bytes: Buffer, at: number, word: number): void {
  for (let digit = 0; digit < 8; digit++) bytes[at + digit] = HEX[(word >>> (28 - digit * 4)) & 15] ?? 0;
}
