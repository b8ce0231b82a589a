/**
 * A client that sends usage events as fast as it is answered, or at a given rate:
 * `node server/bench/ingest/load-generator.ts --address 127.0.0.1:8888 [--seconds 15 | --events 1000000] [--connections 16]
 * [--batch 100] [--rate 0] [--first 0] [--history <JSON>]`.
 *
 * It is a process of its own, so that its cost is not taken for the server's, and it must be cheap, because it shares the
 * machine with the server: raw sockets, one request under way per connection, bodies rendered once and only their ids
 * changed, or with `--history` all their fields (see `history/events.ts`). Every event is unique, or, with `--history`, the
 * same as in any other run that sends the same history. At the end it prints a `LoadReport` as one line of JSON.
 */

import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { parseHistory, historyEvents } from "../history/events.ts";
import { type LoadReport, type PreparedRequest, recentEvents } from "./load.ts";
import { epochMs, percentile } from "./timing.ts";

const { values: argv } = parseArgs({
  options: {
    address: { type: "string" },
    seconds: { type: "string", default: "15" },
    connections: { type: "string", default: "16" },
    batch: { type: "string", default: "100" },
    /** Events per second over all connections; 0 is as fast as possible. */
    rate: { type: "string", default: "0" },
    /** Ends the run after so many events, a multiple of the batch, instead of after a time. */
    events: { type: "string" },
    /** Number of the first event. */
    first: { type: "string", default: "0" },
    history: { type: "string" },
  },
});
const [host = "", port = ""] = (argv.address ?? "").split(":");
if (port === "") throw new Error("--address <host:port> is required");
const connectionCount = Number(argv.connections);
const batchSize = Number(argv.batch);
const rate = Number(argv.rate);
const eventLimit = Number(argv.events ?? Number.MAX_SAFE_INTEGER);
const secondsLimit = argv.events === undefined ? Number(argv.seconds) : Number.MAX_SAFE_INTEGER;
if (argv.events !== undefined && eventLimit % batchSize !== 0) throw new Error("--events is a multiple of --batch");

const source =
  argv.history === undefined
    ? recentEvents(`${host}:${port}`, batchSize, connectionCount)
    : historyEvents(`${host}:${port}`, batchSize, parseHistory(argv.history));
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
    request.renew(firstEvent);
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
  readonly #countByType = source.types.map(() => 0);
  readonly #tokensByType = source.types.map(() => 0);
  readonly #latenciesMs: number[] = [];
  readonly #connections: Connection[] = [];
  readonly #done = Promise.withResolvers<void>();
  #bodyBytes = 0;
  #sentEvents = 0;
  #startedMs = 0;

  async run(): Promise<LoadReport> {
    for (let index = 0; index < connectionCount; index++) {
      const onAnswer: OnAnswer = (connection, request, latencyMs) => this.#answered(connection, request, latencyMs);
      this.#connections.push(new Connection(await openSocket(), source.requestsOf(index), onAnswer));
    }
    const cpuBefore = process.cpuUsage();
    const firstSentMs = epochMs();
    this.#startedMs = performance.now();
    if (rate > 0) this.#pace();
    else for (const connection of this.#connections) if (!this.#isOver()) this.#send(connection);
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
    connection.send(Number(argv.first) + this.#sentEvents);
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
        if (this.#sentEvents + batchSize > dueEvents || this.#isOver()) return;
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
    return this.#sentEvents >= eventLimit || performance.now() - this.#startedMs >= secondsLimit * 1000;
  }

  #endIfIdle(): void {
    if (this.#connections.every((connection) => connection.isIdle)) this.#done.resolve();
  }
}

process.stdout.write(`${JSON.stringify(await new LoadRun().run())}\n`);
