/**
 * The whole product in this process, on a free port with a data directory of its own, and a client that checks every
 * answer against the contract: the status is declared, a JSON body fits its schema and has no undeclared field, an error
 * is a complete problem body with exactly the right content type.
 *
 * One product serves all tests of a file, so tests use event types, slugs and sources of their own.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Problem } from "@tallystick/contract";
import { pino } from "pino";
import { expect, vi } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { type Product, type ProductOptions, startProduct } from "../../src/app/product.ts";
import { checkAnswer } from "./contract-check.ts";

/** Everything acknowledged must be visible to queries within this time, also on a busy machine. */
const VISIBLE_WITHIN_MS = 30_000;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: string | Uint8Array;
}

/** An event to send; what is left out gets a default. */
export type EventDraft = Readonly<Record<string, unknown>>;

export class TestProduct {
  readonly product: Product;
  readonly url: string;
  readonly #root: string;
  #nextId = 0;

  constructor(product: Product, root: string) {
    this.product = product;
    this.url = product.url;
    this.#root = root;
  }

  /** Sends a request and checks the answer against the contract. */
  async call(path: string, { method, headers = {}, json, body }: Call = {}): Promise<Answer> {
    const isBody = json !== undefined || body !== undefined;
    const verb = method ?? (isBody ? "POST" : "GET");
    const response = await fetch(`${this.url}${path}`, {
      method: verb,
      headers: { ...(json === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(isBody ? { body: body === undefined ? JSON.stringify(json) : Buffer.from(body) } : {}),
      redirect: "manual",
    });
    const answer = { status: response.status, headers: response.headers, text: await response.text() };
    checkAnswer(verb, path, answer);
    return answer;
  }

  /** The JSON body of a request that must succeed. */
  async json<Body = unknown>(path: string, call: Call = {}): Promise<Body> {
    const answer = await this.call(path, call);
    expect(answer.status, answer.text).toBe(200);
    return JSON.parse(answer.text) as Body;
  }

  /** The problem body of a request that must fail with this status. */
  async problem(status: number, path: string, call: Call = {}): Promise<Problem> {
    const answer = await this.call(path, call);
    expect(answer.status, answer.text).toBe(status);
    return JSON.parse(answer.text) as Problem;
  }

  /** An event with an id of its own. */
  event(draft: EventDraft = {}): EventDraft {
    this.#nextId += 1;
    return { specversion: "1.0", id: `event-${this.#nextId}`, source: "e2e", type: "unset", subject: "s", ...draft };
  }

  /** Sends events, each with an id of its own unless the draft has one, and waits until queries see them. */
  async ingest(...drafts: readonly EventDraft[]): Promise<void> {
    await this.ingestBody(JSON.stringify(drafts.map((draft) => this.event(draft))));
  }

  /** Sends a JSON array of events as text, for numbers that JavaScript cannot hold, and waits until queries see them. */
  async ingestBody(body: string): Promise<void> {
    const headers = { "content-type": "application/cloudevents-batch+json" };
    const answer = await this.call("/api/v1/events", { headers, body });
    expect(answer.status, answer.text).toBe(204);
    await this.settled();
  }

  /** Waits until everything acknowledged is stored. */
  async settled(): Promise<void> {
    await vi.waitFor(async () => expect(await this.metric("tallystick_log_lag_events")).toBe(0), {
      timeout: VISIBLE_WITHIN_MS,
      interval: 20,
    });
  }

  /** The value of a metric, by its name with labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    return line === undefined ? Number.NaN : Number(line.slice(name.length + 1));
  }

  async stop(): Promise<void> {
    await this.product.stop();
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** Starts a product; `file` is the text of its configuration file, `options` what a test changes of it. */
export async function startTestProduct(file = "", options: Pick<ProductOptions, "clock"> = {}): Promise<TestProduct> {
  const root = await mkdtemp(join(tmpdir(), "tallystick-e2e-"));
  const values = new Map([
    ["address", "127.0.0.1:0"],
    ["dataDir", join(root, "data")],
    // The time to wait for more events is a matter of throughput, which these tests do not measure.
    ["sink.lingerMs", "0"],
  ]);
  try {
    const { config } = loadConfig({
      flags: { values, file: "test.yaml" },
      env: {},
      cwd: root,
      isTerminal: false,
      readFile: () => file,
    });
    const logger = pino({ level: "silent" });
    const product = await startProduct({ config, logger, version: "0.0.0-test", ...options });
    return new TestProduct(product, root);
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}
