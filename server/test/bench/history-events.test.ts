/** The events of the benchmarks: what they claim to be is what a server receives. */

import { describe, expect, test } from "vitest";
import { type History, historyEvents, historyOfQuarter, parseHistory } from "../../bench/history/events.ts";

const HOST = "127.0.0.1:1";

interface WireEvent {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly data: {
    readonly model: string;
    readonly tokens: number;
    readonly duration_ms: number;
    readonly user: string;
  };
}

/** Events `first` to `first + count - 1` as a server would read them, with what the request says about them. */
function received(history: History, first: number, count: number) {
  const source = historyEvents(HOST, count, history);
  const [request] = source.requestsOf(0);
  if (request === undefined) throw new Error("no request");
  request.renew(first);
  const [head = "", body = ""] = request.bytes.toString("ascii").split("\r\n\r\n");
  const parsed: WireEvent | readonly WireEvent[] = JSON.parse(body);
  const events: readonly WireEvent[] = Array.isArray(parsed) ? parsed : [parsed];
  return { head, body, events, types: request.types.map((index) => source.types[index]), tokens: request.tokens };
}

describe("a history", () => {
  const history = historyOfQuarter(20_000);
  const all = received(history, 0, 20_000);

  test("is one request with the length it announces, and tells the types and tokens in it", () => {
    expect(all.head).toContain(`content-length: ${all.body.length}`);
    expect(all.events.map(({ type }) => type)).toEqual(all.types);
    expect(all.events.map(({ data }) => data.tokens)).toEqual(all.tokens);
  });

  test("is the same in other batches and other processes, apart from what was in the request before", () => {
    const again = parseHistory(JSON.stringify(history));
    for (const first of [0, 700, 19_900]) {
      expect(received(again, first, 100).events).toEqual(all.events.slice(first, first + 100));
    }
    expect(received(again, 4_321, 1).events).toEqual(all.events.slice(4_321, 4_322));
  });

  test("has unique ids, a quarter of prompts among 50 types, five models, five users a subject", () => {
    expect(new Set(all.events.map(({ id }) => id)).size).toBe(20_000);
    expect(new Set(all.types).size).toBe(50);
    expect(all.types.filter((type) => type === "prompt").length / 20_000).toBeCloseTo(0.25, 1);
    expect(new Set(all.events.map(({ data }) => data.model)).size).toBe(5);
    for (const { subject, data } of all.events) {
      const user = Number(data.user.slice("user-".length));
      expect(Math.floor(user / 5)).toBe(Number(subject.slice("customer-".length)));
    }
    expect(new Set(all.events.map(({ subject }) => subject)).size).toBeGreaterThan(8_000);
  });

  test("arrives in the order of its times, up to a minute off, one in a hundred up to a day late", () => {
    const times = all.events.map(({ time }) => Date.parse(time));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(Date.UTC(2026, 0, 1));
    expect(Math.max(...times)).toBeLessThan(Date.UTC(2026, 3, 1));
    const lateness = times.map((time, index) => history.fromMs + (index * history.spanMs) / history.events - time);
    // The first day mirrors what would be before the history.
    const afterFirstDay = lateness.slice(20_000 / 90 + 1);
    const late = afterFirstDay.filter((ms) => ms > 60_001);
    expect(late.length / afterFirstDay.length).toBeCloseTo(0.01, 2);
    expect(Math.max(...late)).toBeGreaterThan(80_000_000);
    expect(Math.max(...late)).toBeLessThanOrEqual(86_460_001);
    expect(Math.min(...afterFirstDay)).toBeGreaterThanOrEqual(-60_001);
  });
});
