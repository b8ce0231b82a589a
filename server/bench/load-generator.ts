/**
 * A client that sends usage events as fast as it is answered, or at a given rate:
 * `node server/bench/load-generator.ts --address 127.0.0.1:8888 [--seconds 15] [--connections 16] [--batch 100] [--rate 0]`.
 *
 * It is a process of its own, so that its cost is not taken for the server's, and it must be cheap, because it shares the
 * machine with the server: raw sockets, one request under way per connection, bodies rendered once and only their ids
 * changed. Every event is unique. At the end it prints a `LoadReport` as one line of JSON.
 */

import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { EVENT_TYPES, type LoadReport, preparedRequests, type PreparedRequest, setIds } from "./ingest/load.ts";
import { epochMs, percentile } from "./ingest/timing.ts";

const { values: argv } = parseArgs({
  options: {
    address: { type: "string" },
    seconds: { type: "string", default: "15" },
    connections: { type: "string", default: "16" },
    batch: { type: "string", default: "100" },
    /** Events per second over all connections; 0 is as fast as possible. */
    rate: { type: "string", default: "0" },
  },
});
const [host = "", port = ""] = (argv.address ?? "").split(":");
if (port === "") throw new Error("--address <host:port> is required");
const connectionCount = Number(argv.connections);
const batchSize = Number(argv.batch);
const rate = Number(argv.rate);

/** Distinct events per run at least: enough for every subject, type and model to occur. */
const DISTINCT_EVENTS = 12_800;
/** Between two looks at the clock when the rate is limited. */
const TICK_MS = 5;
const HEADER_END = "\r\n\r\n";
const ACCEPTED = "HTTP/1.1 204 ";

type OnAnswer = (connection: Connection, request: PreparedRequest, latencyMs: number) => void;

/** One keep-alive connection: sends a request, waits for the answer, and tells how long it took. */
class Connection {
  isIdle = true;
  readonly #socket: Socket;
  readonly #requests: readonly PreparedRequest[];
  readonly #onAnswer: OnAnswer;
  #next = 0;
  #current: PreparedRequest | undefined;
  #sentMs = 0;
  #answer = "";

  constructor(socket: Socket, requests: readonly PreparedRequest[], onAnswer: OnAnswer) {
    this.#socket = socket;
    this.#requests = requests;
    this.#onAnswer = onAnswer;
    socket.on("data", (bytes: Buffer) => this.#receive(bytes));
  }

  send(firstEvent: number): void {
    const request = this.#requests[this.#next];
    if (request === undefined) throw new Error("a connection has no requests");
    this.#next = (this.#next + 1) % this.#requests.length;
    setIds(request, firstEvent);
    this.isIdle = false;
    this.#current = request;
    this.#sentMs = performance.now();
    this.#socket.write(request.bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** A 204 has no body, so that the blank line ends it; any other answer ends the run. */
  #receive(bytes: Buffer): void {
    this.#answer += bytes.toString("latin1");
    if (!this.#answer.endsWith(HEADER_END)) {
      if (this.#answer.length > ACCEPTED.length && !this.#answer.startsWith(ACCEPTED)) this.#fail();
      return;
    }
    if (!this.#answer.startsWith(ACCEPTED)) this.#fail();
    this.#answer = "";
    this.isIdle = true;
    if (this.#current !== undefined) this.#onAnswer(this, this.#current, performance.now() - this.#sentMs);
  }

  #fail(): never {
    throw new Error(`the server refused events: ${this.#answer}`);
  }
}

async function openSocket(): Promise<Socket> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", () => resolve());
    socket.once("error", reject);
  });
  return socket;
}

/** Sends until the time is up and everything sent is answered. */
class LoadRun {
  readonly #countByType = EVENT_TYPES.map(() => 0);
  readonly #tokensByType = EVENT_TYPES.map(() => 0);
  readonly #latenciesMs: number[] = [];
  readonly #connections: Connection[] = [];
  readonly #done = Promise.withResolvers<void>();
  #bodyBytes = 0;
  #sentEvents = 0;
  #startedMs = 0;

  async run(): Promise<LoadReport> {
    const requests = preparedRequests(`${host}:${port}`, Math.ceil(DISTINCT_EVENTS / batchSize), batchSize);
    for (let index = 0; index < connectionCount; index++) {
      const own = requests.filter((_, at) => at % connectionCount === index);
      const onAnswer: OnAnswer = (connection, request, latencyMs) => this.#answered(connection, request, latencyMs);
      this.#connections.push(new Connection(await openSocket(), own, onAnswer));
    }
    const cpuBefore = process.cpuUsage();
    const firstSentMs = epochMs();
    this.#startedMs = performance.now();
    if (rate === 0) for (const connection of this.#connections) this.#send(connection);
    else this.#pace();
    await this.#done.promise;
    const lastAcknowledgedMs = epochMs();
    const cpu = process.cpuUsage(cpuBefore);
    for (const connection of this.#connections) connection.close();
    return {
      requests: this.#latenciesMs.length,
      events: this.#sentEvents,
      bodyBytes: this.#bodyBytes,
      countByType: this.#countByType,
      tokensByType: this.#tokensByType,
      firstSentMs,
      lastAcknowledgedMs,
      latencyP50Ms: percentile(this.#latenciesMs, 0.5),
      latencyP99Ms: percentile(this.#latenciesMs, 0.99),
      cpuSeconds: (cpu.user + cpu.system) / 1_000_000,
    };
  }

  #send(connection: Connection): void {
    connection.send(this.#sentEvents);
    this.#sentEvents += batchSize;
  }

  /** Sends what is due at each tick, on connections that wait for nothing. */
  #pace(): void {
    const timer = setInterval(() => {
      if (this.#isOver()) {
        clearInterval(timer);
        this.#endIfIdle();
        return;
      }
      const dueEvents = ((performance.now() - this.#startedMs) * rate) / 1000;
      for (const connection of this.#connections) {
        if (this.#sentEvents + batchSize > dueEvents) return;
        if (connection.isIdle) this.#send(connection);
      }
    }, TICK_MS);
  }

  #answered(connection: Connection, request: PreparedRequest, latencyMs: number): void {
    this.#latenciesMs.push(latencyMs);
    this.#bodyBytes += request.bodyBytes;
    for (let index = 0; index < batchSize; index++) {
      const type = request.types[index] ?? 0;
      this.#countByType[type] = (this.#countByType[type] ?? 0) + 1;
      this.#tokensByType[type] = (this.#tokensByType[type] ?? 0) + (request.tokens[index] ?? 0);
    }
    if (this.#isOver()) this.#endIfIdle();
    else if (rate === 0) this.#send(connection);
  }

  #isOver(): boolean {
    return performance.now() - this.#startedMs >= Number(argv.seconds) * 1000;
  }

  #endIfIdle(): void {
    if (this.#connections.every((connection) => connection.isIdle)) this.#done.resolve();
  }
}

process.stdout.write(`${JSON.stringify(await new LoadRun().run())}\n`);
