/** A receiver of webhooks on loopback for tests: it answers as it is told, fails, hangs, redirects, or answers slowly. */

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A webhook as it arrived. */
export interface Received {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Answers a request; one that does nothing lets it hang. */
export type Respond = (response: ServerResponse, received: Received) => void;

export const succeed: Respond = (response) => void response.writeHead(204).end();

export function fail(status: number, headers: Readonly<Record<string, string>> = {}): Respond {
  return (response) => void response.writeHead(status, headers).end(`status ${status}`);
}

export const hang: Respond = () => undefined;

export class Receiver {
  readonly received: Received[] = [];
  /** Requests that were not answered yet. */
  open = 0;
  /** The most of them at the same time, by path. */
  readonly mostOpen = new Map<string, number>();
  respond: Respond = succeed;
  readonly #server = createServer((request, response) => void this.#receive(request, response));
  readonly #openByPath = new Map<string, number>();

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    const listening = Promise.withResolvers<void>();
    receiver.#server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path = "/"): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  async stop(): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    this.#server.closeAllConnections();
    await closed.promise;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    this.#count(path, 1);
    response.once("close", () => this.#count(path, -1));
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", headers } = request;
    const received = { path, method, headers, body: Buffer.concat(chunks).toString() };
    this.received.push(received);
    this.respond(response, received);
  }

  #count(path: string, by: number): void {
    this.open += by;
    const open = (this.#openByPath.get(path) ?? 0) + by;
    this.#openByPath.set(path, open);
    this.mostOpen.set(path, Math.max(open, this.mostOpen.get(path) ?? 0));
  }
}
