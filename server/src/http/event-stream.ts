/**
 * Events as they are accepted, as server-sent events on Node's own response object.
 *
 * Invariants:
 * 1. A stream asks for more only after the socket has taken what was written: a client that reads slowly lags, and the
 *    server holds one slice for it.
 * 2. A message is one line of `data`, whatever line breaks the JSON inside has.
 * 3. A stream ends at once when its client leaves or the server closes, and its place is free again then.
 * 4. A client that takes nothing while something waits for it is cut off after a while: it cannot hold its place for ever.
 */

import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type StreamEventsQuery, streamEventsRoute } from "@tallystick/contract";
import { Fault } from "../kernel/fault.ts";
import { problemReply } from "./problem.ts";
import { parseQuery } from "./router.ts";

/** A client that does not take the last words within this time is cut off when the server closes. */
const LAST_WORDS_MS = 250;
/** When to try again after a refusal. */
const RETRY_SECONDS = 5;
const CLOSING = ": the server shuts down; reconnect with Last-Event-ID\n\n";

/** One step of a stream. */
export interface StreamSlice {
  /** How far the stream has come, whether or not there was something to send; null before the first event. */
  readonly position: string | null;
  readonly events: readonly { readonly position: string; readonly json: string }[];
}

export interface EventStreamOptions {
  /** Starts a stream that ends when `signal` is aborted; throws faults at once, or later from the slices. */
  readonly open: (query: StreamEventsQuery, signal: AbortSignal) => AsyncIterable<StreamSlice>;
  /** Streams at the same time; more are refused. */
  readonly maxStreams: number;
  /** Pause after which a comment is sent, so that nothing on the way takes the connection for dead. */
  readonly keepAliveMs: number;
  /** How long what was written may wait for the client to take it; then the connection is cut, and it can resume. */
  readonly stallTimeoutMs: number;
  /** Told the number of open streams whenever it changes. */
  readonly onStreams: (open: number) => void;
}

interface OpenStream {
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

export class EventStreams {
  readonly #options: EventStreamOptions;
  readonly #onError: (error: unknown, requestId: string) => void;
  readonly #open = new Map<AbortController, Promise<void>>();
  #isClosed = false;

  constructor(options: EventStreamOptions, onError: (error: unknown, requestId: string) => void) {
    this.#options = options;
    this.#onError = onError;
  }

  /**
   * Answers a request with a stream; resolves when the stream is over. Rejects before anything is sent with the faults of
   * the query and of `open`, `too_many_streams` and `draining`.
   */
  async serve(request: IncomingMessage, response: ServerResponse, requestId: string): Promise<void> {
    const { maxStreams, onStreams } = this.#options;
    const refused = { retryAfterSeconds: RETRY_SECONDS };
    if (this.#isClosed) throw new Fault("unavailable", "draining", "the server is shutting down", refused);
    if (this.#open.size >= maxStreams) {
      const message = `${maxStreams} streams are open, which is the limit; close one or try again later`;
      throw new Fault("unavailable", "too_many_streams", message, refused);
    }
    const controller = new AbortController();
    const slices = this.#options.open(queryOf(request), controller.signal);
    response.once("close", () => controller.abort());
    const stream = this.#run({ response, signal: controller.signal, requestId }, slices);
    this.#open.set(controller, stream);
    onStreams(this.#open.size);
    try {
      await stream;
    } finally {
      this.#open.delete(controller);
      onStreams(this.#open.size);
    }
  }

  /** Ends every stream and opens no more; resolves when all are over. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const controller of this.#open.keys()) controller.abort();
    await Promise.all(this.#open.values());
  }

  async #run(stream: OpenStream, slices: AsyncIterable<StreamSlice>): Promise<void> {
    const { response, signal, requestId } = stream;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      // Some proxies collect a response before they pass it on; this is how to ask them not to.
      "x-accel-buffering": "no",
    });
    let lastWords = CLOSING;
    try {
      await this.#send(response, slices, signal);
    } catch (error) {
      if (!signal.aborted) {
        if (!(error instanceof Fault)) this.#onError(error, requestId);
        lastWords = `event: error\ndata: ${problemReply(error, requestId).body}\n\n`;
      }
    }
    await finish(response, lastWords, signal, this.#options.stallTimeoutMs);
  }

  async #send(response: ServerResponse, slices: AsyncIterable<StreamSlice>, signal: AbortSignal): Promise<void> {
    let position: string | null = null;
    let announced: string | null = null;
    const announce = (comment: string): void => {
      // A client that has not taken the last message needs no sign of life.
      if (response.writableNeedDrain || signal.aborted) return;
      response.write(`: ${comment}\n${position === announced ? "" : `id: ${position}\n`}\n`);
      announced = position;
    };
    const timer = setInterval(() => announce("keep-alive"), this.#options.keepAliveMs);
    let isFirst = true;
    try {
      for await (const slice of slices) {
        position = slice.position;
        if (isFirst) announce("events follow as they are accepted");
        isFirst = false;
        if (slice.events.length === 0) continue;
        announced = slice.events.at(-1)?.position ?? announced;
        if (!response.write(slice.events.map(message).join(""))) await this.#drained(response, signal);
      }
    } finally {
      clearInterval(timer);
    }
  }

  /** Waits until the client has taken what was written; rejects when it leaves or takes too long. */
  async #drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
    // Cutting the connection aborts the signal, as a client that leaves does.
    const stalled = setTimeout(() => response.destroy(), this.#options.stallTimeoutMs);
    try {
      await once(response, "drain", { signal });
    } finally {
      clearTimeout(stalled);
    }
  }
}

function queryOf(request: IncomingMessage): StreamEventsQuery {
  const [, search = ""] = (request.url ?? "").split(/\?(.*)/s, 2);
  const query = parseQuery(streamEventsRoute.request.query, new URLSearchParams(search));
  const header = request.headers["last-event-id"];
  // A browser repeats the address when it reconnects, and says in the header how far it has come since.
  return typeof header === "string" && header !== "" ? { ...query, lastEventId: header } : query;
}

/** Line breaks between the tokens of JSON mean nothing, and inside of strings there are none. */
function message({ position, json }: StreamSlice["events"][number]): string {
  return `id: ${position}\nevent: event\ndata: ${json.replaceAll(/[\r\n]/g, " ")}\n\n`;
}

/** Sends the last words and waits until the response is over, for a while at most. */
async function finish(
  response: ServerResponse,
  lastWords: string,
  signal: AbortSignal,
  stallTimeoutMs: number,
): Promise<void> {
  if (response.destroyed) return;
  const closed = new Promise((resolve) => response.once("close", resolve));
  response.end(lastWords);
  let timer = setTimeout(() => response.destroy(), stallTimeoutMs);
  const cutOff = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => response.destroy(), LAST_WORDS_MS);
  };
  if (signal.aborted) cutOff();
  else signal.addEventListener("abort", cutOff, { once: true });
  await closed;
  signal.removeEventListener("abort", cutOff);
  clearTimeout(timer);
}
