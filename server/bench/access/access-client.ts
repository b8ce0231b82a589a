/**
 * A client that checks access as fast as it is answered, or at a given rate:
 * `node server/bench/access/access-client.ts --address 127.0.0.1:8888 [--seconds 15] [--connections 16] [--rate 0]
 * [--customers 10000] [--path access]`.
 *
 * A process of its own, so that its cost is not taken for the server's, and cheap, because it shares the machine with the
 * server: raw sockets, one request under way per connection. Each request asks about another customer, in an order that
 * looks random. At the end it prints an `AccessReport` as one line of JSON.
 */

import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { subjectKey } from "../history/events.ts";
import { percentile } from "../ingest/timing.ts";
import type { AccessReport } from "./report.ts";

const { values: argv } = parseArgs({
  options: {
    address: { type: "string" },
    seconds: { type: "string", default: "15" },
    connections: { type: "string", default: "16" },
    /** Checks per second over all connections; 0 is as fast as possible. */
    rate: { type: "string", default: "0" },
    customers: { type: "string", default: "10000" },
    /** What follows the customer's key in the path. */
    path: { type: "string", default: "access" },
  },
});
const [host = "", port = ""] = (argv.address ?? "").split(":");
if (port === "") throw new Error("--address <host:port> is required");
const customers = Number(argv.customers);
const rate = Number(argv.rate);
/** Between two looks at the clock when the rate is limited. */
const TICK_MS = 2;
/** A prime that no number of customers here is a multiple of: all customers take turns. */
const STRIDE = 7919;

const requests = Array.from({ length: customers }, (_, index) => {
  const path = `/api/v1/customers/${subjectKey(index)}/${argv.path}`;
  return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: ${argv.address}\r\n\r\n`);
});

const latenciesMs: number[] = [];
let next = 0;
let isOver = false;

/** One keep-alive connection: sends a request, waits for the answer, and tells how long it took. */
class Connection {
  isIdle = true;
  readonly #socket: Socket;
  #sentMs = 0;
  #answer = "";

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.#receive(bytes));
  }

  send(): void {
    const request = requests[(next * STRIDE) % customers];
    if (request === undefined) throw new Error("there are no customers");
    next += 1;
    this.isIdle = false;
    this.#sentMs = performance.now();
    this.#socket.write(request);
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    this.#answer += bytes.toString("latin1");
    const headerEnd = this.#answer.indexOf("\r\n\r\n");
    if (headerEnd < 0) return;
    const length = /content-length: (\d+)/i.exec(this.#answer)?.[1];
    if (!this.#answer.startsWith("HTTP/1.1 200 ") || length === undefined)
      throw new Error(`not answered: ${this.#answer}`);
    if (this.#answer.length < headerEnd + 4 + Number(length)) return;
    if (!this.#answer.includes('"hasAccess":')) throw new Error(`no access in ${this.#answer}`);
    this.#answer = "";
    this.isIdle = true;
    latenciesMs.push(performance.now() - this.#sentMs);
    if (isDue()) this.send();
  }
}

/** Whether another check is to be sent now. */
function isDue(): boolean {
  return !isOver && (rate === 0 || next < ((performance.now() - startedMs) * rate) / 1000);
}

async function openSocket(): Promise<Socket> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", () => resolve());
    socket.once("error", reject);
  });
  return socket;
}

const sockets = await Promise.all(Array.from({ length: Number(argv.connections) }, openSocket));
const connections = sockets.map((socket) => new Connection(socket));
const startedMs = performance.now();
const endMs = startedMs + Number(argv.seconds) * 1000;
while (performance.now() < endMs) {
  for (const connection of connections) if (connection.isIdle && isDue()) connection.send();
  await delay(TICK_MS);
}
isOver = true;
const deadlineMs = performance.now() + 10_000;
while (connections.some(({ isIdle }) => !isIdle) && performance.now() < deadlineMs) await delay(TICK_MS);
const elapsedSeconds = (performance.now() - startedMs) / 1000;
for (const connection of connections) connection.close();
const { user, system } = process.cpuUsage();
const report: AccessReport = {
  checks: latenciesMs.length,
  checksPerSecond: Math.round(latenciesMs.length / elapsedSeconds),
  accessP50Ms: percentile(latenciesMs, 0.5),
  accessP99Ms: percentile(latenciesMs, 0.99),
  accessMaxMs: percentile(latenciesMs, 1),
  cpuSeconds: (user + system) / 1_000_000,
};
process.stdout.write(`${JSON.stringify(report)}\n`);
