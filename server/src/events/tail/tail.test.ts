/** Tails over a real log: what they show, where they go on, and what they cost the log. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type EventLog, openEmbeddedLog } from "../../engines/event-log/index.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { EventAcceptor } from "../accept.ts";
import { EventTail, type TailQuery } from "./tail.ts";

const LIMITS = {
  maxBodyBytes: 10_000_000,
  maxEvents: 10_000,
  maxEventBytes: 1_000_000,
  maxAttributeBytes: 1_024,
  maxDepth: 64,
};
const clock = new ManualClock(instantFromMicros(1_767_225_600_000_000));
let directory = "";
let log: EventLog;
let reads = 0;
let tail: EventTail;
let end: AbortController;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tallystick-tail-"));
  log = await openEmbeddedLog({ directory, segmentBytes: 64 * 1024, report: () => undefined });
  reads = 0;
  end = new AbortController();
  tail = new EventTail({ log: counting(log), partition: 0, namespace: "default" });
});
afterEach(async () => {
  end.abort();
  await log.close();
  await rm(directory, { recursive: true });
});

/** The log itself; its reads are counted. */
function counting(whole: EventLog) {
  return {
    start: whole.start.bind(whole),
    end: whole.end.bind(whole),
    waitFor: whole.waitFor.bind(whole),
    read: (...call: Parameters<EventLog["read"]>) => {
      reads += 1;
      return whole.read(...call);
    },
  };
}

interface Draft {
  readonly id: string;
  readonly type?: string;
  readonly source?: string;
  readonly subject?: string;
  readonly data?: unknown;
}

/** Accepts one request. */
async function accept(drafts: readonly Draft[], namespace = "default"): Promise<void> {
  const events = drafts.map((draft) => ({ specversion: "1.0", type: "t", source: "s", subject: "u", ...draft }));
  await acceptText(JSON.stringify(events), namespace);
}

async function acceptText(body: string, namespace = "default"): Promise<void> {
  const acceptor = new EventAcceptor({ log, namespace, clock, limits: LIMITS });
  await acceptor.accept(Buffer.from(body), "application/cloudevents-batch+json");
}

interface Shown {
  readonly position: string;
  readonly event: { readonly id: string; readonly time: string };
  readonly ingestedAt: string;
}

/** The first `count` events of a tail, which ends then. */
async function take(count: number, query: TailQuery, from = tail): Promise<readonly Shown[]> {
  const shown: Shown[] = [];
  for await (const { events } of from.open(query, end.signal)) {
    shown.push(...events.map(({ position, json }) => ({ position, ...(JSON.parse(json) as Omit<Shown, "position">) })));
    if (shown.length >= count) break;
  }
  return shown;
}

async function ids(count: number, query: TailQuery): Promise<readonly string[]> {
  return (await take(count, query)).map(({ event }) => event.id);
}

function sequence(from: number, to: number): readonly string[] {
  return Array.from({ length: to - from }, (_, index) => `e${from + index}`);
}

describe("what is shown", () => {
  beforeEach(async () => {
    await accept([{ id: "e0" }]);
    await accept([
      { id: "e1", type: "a" },
      { id: "e2", type: "aa", subject: "x" },
    ]);
    await accept([{ id: "e3", type: "a", source: "z", subject: "x" }]);
    await accept([{ id: "foreign", type: "a" }], "other");
    await accept([{ id: "e5", type: "a", source: "z", subject: "ü" }]);
    await accept([{ id: "e5", type: "a", source: "z", subject: "ü" }]);
    await accept([{ id: "last", type: "a", source: "z", subject: "x" }]);
  });

  test.each<[TailQuery, readonly string[]]>([
    [{}, ["e1", "e2", "e3", "e5", "e5", "last"]],
    [{ types: ["a"] }, ["e1", "e3", "e5", "e5", "last"]],
    [{ types: ["aa"] }, ["e2"]],
    [{ types: ["t", "aa", "a"] }, ["e1", "e2", "e3", "e5", "e5", "last"]],
    [{ sources: ["z"] }, ["e3", "e5", "e5", "last"]],
    [{ subjects: ["ü"] }, ["e5", "e5"]],
    [{ subjects: ["ü", "u"] }, ["e1", "e5", "e5"]],
    [{ types: ["a"], sources: ["z"], subjects: ["x"] }, ["e3", "last"]],
  ])("%j", async (query, expected) => {
    expect(await ids(expected.length, { ...query, after: "0-0" })).toEqual(expected);
  });

  test("data byte for byte, the ingestion instant of each event, and its time", async () => {
    const data = `{ "n": 9007199254740993,\n "x": 1.10 }`;
    const event = `{"specversion":"1.0","id":"i","source":"s","type":"t","subject":"u"`;
    await acceptText(`[${event}},${event},"time":"2026-02-01T00:00:00.5Z","data":${data}}]`);
    const json: string[] = [];
    for await (const { events } of tail.open({ after: "0-7" }, end.signal)) {
      json.push(...events.map((each) => each.json));
      if (json.length >= 2) break;
    }
    const attributes = `"specversion":"1.0","id":"i","source":"s","type":"t","subject":"u"`;
    expect(json).toEqual([
      `{"event":{${attributes},"time":"2026-01-01T00:00:00.000008Z"},"ingestedAt":"2026-01-01T00:00:00.000008Z"}`,
      `{"event":{${attributes},"time":"2026-02-01T00:00:00.5Z","datacontenttype":"application/json","data":${data}},` +
        `"ingestedAt":"2026-01-01T00:00:00.000009Z"}`,
    ]);
  });
});

describe("positions", () => {
  test("without one a tail starts with what comes next, and says where that is", async () => {
    await accept([{ id: "e0" }]);
    const slices = tail.open({}, end.signal);
    expect(await slices.next()).toEqual({ done: false, value: { position: "0-0", events: [] } });
    const following = slices.next();
    await accept([{ id: "e1" }]);
    const { value } = await following;
    expect([value?.position, value?.events.map(({ position }) => position)]).toEqual(["0-1", ["0-1"]]);
  });

  test("an empty log has no position, and its first event is shown", async () => {
    const slices = tail.open({}, end.signal);
    expect(await slices.next()).toEqual({ done: false, value: { position: null, events: [] } });
    const following = slices.next();
    await accept([{ id: "e0" }]);
    expect((await following).value?.position).toBe("0-0");
  });

  test("what does not match moves the position", async () => {
    await accept([{ id: "e0" }]);
    await accept(sequence(1, 1_201).map((id) => ({ id })));
    const slices = tail.open({ types: ["none"], after: "0-0" }, end.signal);
    const seen = [await slices.next(), await slices.next(), await slices.next(), await slices.next()];
    expect(seen.map(({ value }) => value)).toEqual(
      ["0-0", "0-500", "0-1000", "0-1200"].map((position) => ({ position, events: [] })),
    );
  });

  test("after any of them everything else follows once, in order, also inside of a request", async () => {
    for (let at = 0; at < 60; at += 3) await accept(sequence(at, at + 3).map((id) => ({ id })));
    for (let after = 0; after < 59; after++) {
      expect(await ids(1, { after: `0-${after}` })).toEqual(sequence(after + 1, 60));
    }
  });

  test.each(["", "1", "0-", "-1", "0--1", "0-1.5", "0-1e0", "1-0", "0-3", "x", "0-99999999999999999999"])(
    "%j is refused",
    async (after) => {
      await accept([{ id: "e0" }, { id: "e1" }, { id: "e2" }]);
      expect(() => tail.open({ after }, end.signal)).toThrow(
        expect.objectContaining({ kind: "validation", code: "invalid_stream_position" }),
      );
    },
  );

  test("one that was trimmed is refused, also when that happens to a running tail", async () => {
    const data = { text: "x".repeat(20_000) };
    for (const id of sequence(0, 40)) await accept([{ id, data }]);
    const slow = tail.open({ after: "0-0" }, end.signal);
    await slow.next();
    expect((await slow.next()).value?.events[0]?.position).toBe("0-1");
    await log.trim(0, 30);
    const oldest = log.start(0);
    expect(oldest).toBeGreaterThan(20);
    const expired = expect.objectContaining({
      code: "stream_position_expired",
      message: expect.stringContaining(`0-${oldest}`),
    });
    expect(() => tail.open({ after: `0-${oldest - 2}` }, end.signal)).toThrow(expired);
    expect(await ids(1, { after: `0-${oldest - 1}` })).toContain(`e${oldest}`);
    await expect(
      (async () => {
        for (let step = await slow.next(); step.done !== true; step = await slow.next());
      })(),
    ).rejects.toEqual(expired);
  });
});

describe("cost", () => {
  test("tails at the end of the log share one read", async () => {
    await accept([{ id: "e0" }]);
    const tails = Array.from({ length: 32 }, () => take(1, {}));
    await accept([{ id: "e1" }]);
    const shown = await Promise.all(tails);
    expect(shown.flat().map(({ event }) => event.id)).toEqual(Array.from({ length: 32 }, () => "e1"));
    expect(reads).toBe(1);
  });

  test("a large request comes in slices, from one read", async () => {
    const data = { text: "x".repeat(2_000) };
    await accept([{ id: "first" }]);
    await accept(sequence(0, 1_000).map((id) => ({ id, data })));
    const sizes: number[] = [];
    let shown = 0;
    for await (const { events } of tail.open({ after: "0-0" }, end.signal)) {
      sizes.push(events.reduce((sum, { json }) => sum + json.length, 0));
      shown += events.length;
      if (shown === 1_000) break;
    }
    expect(Math.max(...sizes)).toBeLessThan(70_000);
    expect(reads).toBe(1);
  });

  test("an aborted tail ends, whether it waits or has more to show", async () => {
    await accept(sequence(0, 2_000).map((id) => ({ id })));
    const waiting = tail.open({}, end.signal);
    await waiting.next();
    const next = waiting.next();
    const busy = tail.open({ after: "0-0" }, end.signal);
    await busy.next();
    await busy.next();
    end.abort();
    expect([await next, await busy.next()].map(({ done }) => done)).toEqual([true, true]);
  });
});
