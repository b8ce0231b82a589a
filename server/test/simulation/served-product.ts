/**
 * The product as its users run it, `tallystick serve`, on a data directory that the test prepared, with a client that
 * remembers what was acknowledged.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const DEADLINE_MS = 60_000;
const POLL_MS = 20;
const OUTPUT_CHARACTERS = 4_000;

const METER = "kept";
const EVENT_TYPE = "kept";

/** Values of the configuration by key. */
export type Settings = Readonly<Record<string, string | number>>;

/** What a problem body says, and the headers that go with it. */
export interface Refused {
  readonly status: number;
  readonly detail: string;
  readonly retryAfter: string | null;
}

export class ServedProduct {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  #output = "";
  #url = "";

  /** `temporary` takes the engine's runtime directory. */
  constructor(dataDirectory: string, temporary: string, settings: Settings = {}) {
    const flags = Object.entries({ "sink.lingerMs": 0, ...settings }).flatMap(([key, value]) => [
      "--set",
      `${key}=${value}`,
    ]);
    const args = [
      MAIN,
      "serve",
      "--address",
      "127.0.0.1:0",
      "--data-dir",
      dataDirectory,
      "--log-level",
      "warn",
      ...flags,
    ];
    const env = { ...process.env, TMPDIR: temporary, TALLYSTICK_POSTGRES_URL: undefined };
    this.#child = spawn(process.execPath, args, { cwd: temporary, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#exited = once(this.#child, "close");
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (this.#output += chunk.toString()));
    }
  }

  get output(): string {
    return this.#output;
  }

  /** Where it serves; empty before it is ready. */
  get url(): string {
    return this.#url;
  }

  get #tail(): string {
    return this.#output.slice(-OUTPUT_CHARACTERS);
  }

  /** Resolves when it serves; rejects with what it wrote when it ends instead. */
  async ready(): Promise<this> {
    await this.until("it does not start", async () => {
      this.#url = /^Tallystick is ready at (\S+)$/m.exec(this.#output)?.[1] ?? "";
      if (this.#url === "" && this.#child.exitCode !== null) throw new Error(`it ended:\n${this.#output}`);
      return this.#url !== "";
    });
    return this;
  }

  /** Resolves with its exit code when it has ended by itself. */
  async exitCode(): Promise<unknown> {
    return (await this.#exited)[0];
  }

  async end(signal: NodeJS.Signals): Promise<unknown> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    return await this.exitCode();
  }

  /** Polls until `isDone`; rejects with what the product wrote after a minute. */
  async until(complaint: string, isDone: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + DEADLINE_MS;
    while (!(await isDone())) {
      if (performance.now() > deadlineMs) throw new Error(`${complaint}; it wrote:\n${this.#tail}`);
      await delay(POLL_MS);
    }
  }

  async createMeter(): Promise<void> {
    const meter = { slug: METER, eventType: EVENT_TYPE, aggregation: "SUM", valueProperty: "$.n" };
    const response = await this.#post("/api/v1/meters", meter, "application/json");
    if (!response.ok) throw new Error(await response.text());
  }

  /** Sends events with the numbers `[from, from + count)`, made larger by `padding`; null when they were acknowledged. */
  async send(from: number, count: number, padding: number | (() => string) = 0): Promise<Refused | null> {
    const events = Array.from({ length: count }, (_, index) => ({
      specversion: "1.0",
      id: `event-${from + index}`,
      source: "storage",
      type: EVENT_TYPE,
      subject: "s",
      data: { n: from + index, padding: typeof padding === "number" ? "x".repeat(padding) : padding() },
    }));
    const response = await this.#post("/api/v1/events", events, "application/cloudevents-batch+json");
    if (response.status === 204) return null;
    const { detail } = (await response.json()) as { detail: string };
    return { status: response.status, detail, retryAfter: response.headers.get("retry-after") };
  }

  /** The sum of the numbers of all stored events. */
  async sum(): Promise<number> {
    const response = await fetch(`${this.#url}/api/v1/meters/${METER}/query`);
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}; it wrote:\n${this.#tail}`);
    const { data } = (await response.json()) as { data: { value: number }[] };
    return data[0]?.value ?? 0;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.#url}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  }

  /** Waits until everything acknowledged is stored. */
  async settled(): Promise<void> {
    await this.until("the sink does not catch up", async () => (await this.metric("tallystick_log_lag_events")) === 0);
  }

  /** What a probe answers. */
  async probe(kind: "live" | "ready"): Promise<{ readonly status: number; readonly text: string }> {
    const response = await fetch(`${this.#url}/healthz/${kind}`);
    return { status: response.status, text: await response.text() };
  }

  async #post(path: string, body: unknown, contentType: string): Promise<Response> {
    const headers = { "content-type": contentType };
    return await fetch(`${this.#url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  }
}
