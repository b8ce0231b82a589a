/** Bodies over a real server and sockets: limits, gzip, clients that leave, and the memory that all requests share. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Fault } from "../kernel/fault.ts";
import { BodyReader } from "./request-body.ts";

const MAX_BODY_BYTES = 1000;
const MAX_HELD_BYTES = 1500;
const DEADLINE_MS = 10_000;

let server: Server;
let sockets: Socket[];
/** What became of each request, in the order in which they ended: the body's text or the error. */
let outcomes: (string | Error)[];
/** Bodies are held until these resolve. */
let holds: Promise<void>[];
/** Requests whose last byte has arrived, whether anybody wanted it or not. */
let drained: number;

beforeEach(async () => {
  sockets = [];
  outcomes = [];
  holds = [];
  drained = 0;
  const reader = new BodyReader(MAX_BODY_BYTES, MAX_HELD_BYTES);
  server = createServer((request: IncomingMessage, response) => {
    const hold = holds.shift();
    request.once("end", () => (drained += 1));
    const read = reader.read(request, async (body) => {
      await hold;
      return Buffer.from(body).toString();
    });
    read.then(
      (text) => {
        outcomes.push(text);
        response.end();
      },
      (error: Error) => {
        outcomes.push(error);
        response.statusCode = error instanceof Fault && error.kind === "too_large" ? 413 : 400;
        response.end();
        request.resume();
      },
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, "close");
});

function isAddress(address: ReturnType<Server["address"]>): address is AddressInfo {
  return typeof address === "object" && address !== null;
}

async function open(): Promise<Socket> {
  const address = server.address();
  if (!isAddress(address)) throw new Error("the server listens");
  const socket = connect(address.port, "127.0.0.1");
  sockets.push(socket);
  await once(socket, "connect");
  return socket;
}

async function until(condition: () => boolean): Promise<void> {
  await vi.waitUntil(condition, { timeout: DEADLINE_MS, interval: 1 });
}

async function outcomeOf(headers: string, body: Uint8Array | string): Promise<string> {
  const socket = await open();
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`);
  socket.write(body);
  await until(() => outcomes.length === 1);
  const [outcome] = outcomes;
  if (outcome === undefined || typeof outcome === "string") return outcome ?? "";
  return outcome instanceof Fault ? outcome.code : `not a fault: ${outcome.message}`;
}

const lengthOf = (body: Uint8Array | string): string => `content-length: ${Buffer.byteLength(body)}`;
const largest = "x".repeat(MAX_BODY_BYTES);
const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

test.each<[string, string, Uint8Array | string, string]>([
  ["a body", lengthOf("hello"), "hello", "hello"],
  ["no body", "content-length: 0", "", ""],
  ["the largest body", lengthOf(largest), largest, largest],
  ["a body in chunks", "transfer-encoding: chunked", `3\r\nhel\r\n${chunked("lo")}`, "hello"],
  ["a declared body that is too large", lengthOf(`${largest}x`), "", "body_too_large"],
  ["chunks that are too large together", "transfer-encoding: chunked", chunked(`${largest}x`), "body_too_large"],
  ["gzip", `content-encoding: GZIP\r\n${lengthOf(gzipSync("hello"))}`, gzipSync("hello"), "hello"],
  ["gzip of no body", `content-encoding: gzip\r\n${lengthOf(gzipSync(""))}`, gzipSync(""), ""],
  [
    "gzip that is small until it is opened",
    `content-encoding: gzip\r\n${lengthOf(gzipSync(`${largest}x`))}`,
    gzipSync(`${largest}x`),
    "body_too_large",
  ],
  ["gzip that is none", "content-encoding: gzip\r\ncontent-length: 5", "hello", "invalid_gzip"],
  [
    "gzip that is cut off",
    `content-encoding: gzip\r\n${lengthOf(gzipSync("hello").subarray(0, 20))}`,
    gzipSync("hello").subarray(0, 20),
    "invalid_gzip",
  ],
  ["another encoding", "content-encoding: br\r\ncontent-length: 5", "hello", "unsupported_encoding"],
])("%s", async (_name, headers, body, expected) => {
  expect(await outcomeOf(headers, body)).toBe(expected);
});

test("a body that grows too large gets its answer while it is still being sent, and its rest is not kept", async () => {
  const socket = await open();
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n${largest}x\r\n`);
  const [answer]: unknown[] = await once(socket, "data");
  expect(String(answer)).toMatch(/^HTTP\/1.1 413 /);
  socket.write(chunked(largest));
  await until(() => drained === 1);
  outcomes = [];
  expect(await outcomeOf(lengthOf(largest), largest)).toBe(largest);
});

test.each(["", "content-encoding: gzip\r\n"])("a client that leaves in the middle: %j", async (encoding) => {
  const socket = await open();
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${encoding}content-length: 500\r\n\r\n`);
  socket.write(gzipSync(largest).subarray(0, 12));
  socket.destroy();
  await until(() => outcomes.length === 1);
  expect(outcomes[0]).toBeInstanceOf(Error);
});

test("bodies in memory at once are bounded, and what ends, well or not, makes room", async () => {
  const released = Promise.withResolvers<void>();
  holds.push(released.promise);
  const first = await open();
  const send = (socket: Socket): boolean =>
    socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${lengthOf(largest)}\r\n\r\n${largest}`);
  send(first);
  await until(() => holds.length === 0);
  for (let attempt = 1; attempt <= 3; attempt++) {
    send(await open());
    await until(() => outcomes.length === attempt);
    expect(outcomes.at(-1)).toMatchObject({ code: "server_busy", retryAfterSeconds: 1 });
  }
  released.resolve();
  await until(() => outcomes.length === 4);
  send(await open());
  await until(() => outcomes.length === 5);
  expect(outcomes.slice(3)).toEqual([largest, largest]);
});
