/** Watching events arrive over real HTTP: live, filtered, resumed, read slowly, and when the server ends. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { get, type IncomingMessage, type ServerResponse } from "node:http";
import { type Problem, streamedEventSchema } from "@tallystick/contract";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type EventDraft, startTestProduct, type TestProduct } from "./product-fixture.ts";

const PATH = "/api/v1/events/stream";
const WITHIN = { timeout: 20_000, interval: 10 };

interface Message {
  readonly id: string;
  readonly name: string;
  readonly data: string;
}

/** A client of the stream that keeps what it receives. */
class Watcher {
  readonly response: IncomingMessage;
  text = "";

  private constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding("utf8");
    response.on("error", () => undefined);
    response.on("data", (chunk: string) => (this.text += chunk));
  }

  static async open(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Watcher> {
    const request = get(url, { headers, agent: false });
    const [response]: IncomingMessage[] = await once(request, "response");
    if (response === undefined) throw new Error("there is a response");
    const watcher = new Watcher(response);
    watchers.push(watcher);
    return watcher;
  }

  /** Complete messages with data. */
  get messages(): readonly Message[] {
    const blocks = this.text.split("\n\n").slice(0, -1);
    return blocks.flatMap((block) => {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? "";
      return field("data") === "" ? [] : [{ id: field("id"), name: field("event"), data: field("data") }];
    });
  }

  /** Ids of the received events. */
  get events(): readonly string[] {
    return this.messages.map(({ data }) => streamedEventSchema.parse(JSON.parse(data)).event.id);
  }

  leave(): void {
    this.response.destroy();
  }
}

const watchers: Watcher[] = [];
let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
});
afterEach(async () => {
  for (const watcher of watchers.splice(0)) watcher.leave();
  await openStreams(0);
});
afterAll(async () => {
  await product?.stop();
});

async function openStreams(count: number): Promise<void> {
  await vi.waitFor(async () => expect(await product.metric("tallystick_event_streams")).toBe(count), WITHIN);
}

function watch(query = "", headers: Readonly<Record<string, string>> = {}): Promise<Watcher> {
  return Watcher.open(`${product.url}${PATH}${query}`, headers);
}

/** Sends events without waiting until queries see them. */
async function send(...drafts: readonly EventDraft[]): Promise<void> {
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const body = JSON.stringify(drafts.map((draft) => product.event(draft)));
  expect((await product.call("/api/v1/events", { headers, body })).status).toBe(204);
}

async function received(watcher: Watcher, ids: readonly string[]): Promise<void> {
  await vi.waitFor(() => expect(watcher.events).toEqual(ids), WITHIN);
}

describe("live", () => {
  test("what is accepted arrives, duplicates too; what was accepted before does not", async () => {
    await send({ id: "before" });
    const watcher = await watch();
    expect(watcher.response.statusCode).toBe(200);
    expect(watcher.response.headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store",
    });
    await send({ id: "a", subject: "line\nbreak", data: { n: 1 } }, { id: "b" });
    await send({ id: "b" });
    await received(watcher, ["a", "b", "b"]);
    const [first] = watcher.messages;
    expect(first?.name).toBe("event");
    const { event } = streamedEventSchema.parse(JSON.parse(first?.data ?? ""));
    expect(event).toMatchObject({ specversion: "1.0", subject: "line\nbreak", data: { n: 1 } });
    expect(watcher.text).toMatch(/^: events [^\n]+\nid: 0-[0-9]+\n\n/);
    expect(await product.metric("tallystick_event_streams")).toBe(1);
  });

  test("an event has the form of the listing, digit for digit", async () => {
    const watcher = await watch("?source=form");
    const data = `{"n":\r\n 9007199254740993.10}`;
    const body = `[{"specversion":"1.0","id":"f","source":"form","type":"t","subject":"u","data":${data}}]`;
    await product.ingestBody(body);
    await received(watcher, ["f"]);
    const filter = encodeURIComponent(JSON.stringify({ source: { $eq: "form" } }));
    const listed = (await product.call(`/api/v2/events?filter=${filter}`)).text;
    const streamed = watcher.messages[0]?.data ?? "";
    expect(streamed).toContain(`"data":{"n":   9007199254740993.10}`);
    const { event, ingestedAt } =
      (JSON.parse(listed) as { items: { event: unknown; ingestedAt: string }[] }).items[0] ?? {};
    expect(JSON.parse(streamed)).toEqual({ event, ingestedAt });
  });

  test("filters: alternatives within a name, all names together", async () => {
    const watcher = await watch("?type=x&type=y&subject=me&source=here");
    const here = { source: "here", subject: "me" };
    await send(
      { ...here, id: "1", type: "x" },
      { ...here, id: "2", type: "z" },
      { ...here, id: "3", type: "y", subject: "you" },
      { ...here, id: "4", type: "y", source: "there" },
      { ...here, id: "5", type: "y" },
    );
    await received(watcher, ["1", "5"]);
  });
});

describe("positions", () => {
  test("a client that comes back misses nothing and sees nothing twice; the header wins", async () => {
    const first = await watch("?source=resume");
    await send(...["a", "b", "c"].map((id) => ({ id, source: "resume" })));
    await received(first, ["a", "b", "c"]);
    first.leave();
    await send({ id: "d", source: "resume" }, { id: "other" }, { id: "e", source: "resume" });
    const [a, b] = first.messages;
    const second = await watch(`?source=resume&lastEventId=${a?.id}`, { "last-event-id": b?.id ?? "" });
    const third = await watch(`?source=resume&lastEventId=${a?.id}`);
    await send({ id: "f", source: "resume" });
    await received(second, ["c", "d", "e", "f"]);
    await received(third, ["b", "c", "d", "e", "f"]);
  });

  test.each(["x", "1-0", "0-99999999"])("%s is refused", async (position) => {
    const problem = await product.problem(400, PATH, { headers: { "last-event-id": position } });
    expect(problem.detail).toContain(`"${position}"`);
    expect(problem.extensions?.validationErrors).toMatchObject([
      { code: "invalid_stream_position", field: "$.lastEventId" },
    ]);
  });

  test.each(["type=", "subject=", "lastEventId=", "lastEventId=0-1&lastEventId=0-2", "type=a&".repeat(101)])(
    "?%s is refused",
    async (query) => {
      expect((await product.problem(400, `${PATH}?${query}`)).detail).toContain(query.slice(0, 4));
    },
  );

  test("another method is refused", async () => {
    const answer = await product.call(PATH, { method: "POST", json: {} });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET"]);
  });
});

describe("limits", () => {
  test("a client that does not read costs no memory, delays nobody, and gets everything later", async () => {
    const responses: ServerResponse[] = [];
    const onRequest = (message: unknown): void => {
      const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
      if (request.url?.startsWith(PATH) === true) responses.push(response);
    };
    subscribe("http.server.request.start", onRequest);
    const slow = await watch("?source=slow");
    unsubscribe("http.server.request.start", onRequest);
    slow.response.pause();
    const quick = await watch("?source=slow&type=mark");
    const [response] = responses;
    const ids: string[] = [];
    const data = { text: "x".repeat(100_000) };
    let mostHeld = 0;
    for (let index = 0; index < 24; index++) {
      const drafts = Array.from({ length: 8 }, (_, each) => ({ id: `slow-${index}-${each}`, source: "slow", data }));
      ids.push(...drafts.map(({ id }) => id));
      await send(...drafts);
      mostHeld = Math.max(mostHeld, response?.writableLength ?? Number.NaN);
    }
    await send({ id: "mark", source: "slow", type: "mark" });
    await received(quick, ["mark"]);
    // 19 MB are more than the kernel keeps for the connection, so the server has to wait, with one event in its hands.
    expect(response?.writableNeedDrain).toBe(true);
    expect(Math.max(mostHeld, response?.writableLength ?? Number.NaN)).toBeLessThan(250_000);
    slow.response.resume();
    await vi.waitFor(() => expect(slow.text.includes(`"id":"mark"`)).toBe(true), WITHIN);
    await received(slow, [...ids, "mark"]);
  });

  test("32 streams and no more, until one ends", async () => {
    for (let count = 0; count < 32; count++) await watch("?type=none");
    await openStreams(32);
    const refused = await product.call(PATH);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
    expect((JSON.parse(refused.text) as Problem).detail).toContain("32");
    watchers[0]?.leave();
    await openStreams(31);
    expect((await watch("?type=none")).response.statusCode).toBe(200);
  });
});

test("a server that shuts down ends streams at once, with a comment, also those that nobody reads", async () => {
  const ending = await startTestProduct("shutdown:\n  graceMs: 60000\n");
  const reading = await Watcher.open(`${ending.url}${PATH}`);
  const paused = await Watcher.open(`${ending.url}${PATH}`);
  paused.response.pause();
  const ended = once(reading.response, "end");
  const startedMs = performance.now();
  await ending.stop();
  await ended;
  expect(reading.text).toMatch(/: the server shuts down[^\n]*\n\n$/);
  // Far from the grace period; the rest of the time is what the engines take to close.
  expect(performance.now() - startedMs).toBeLessThan(30_000);
});
