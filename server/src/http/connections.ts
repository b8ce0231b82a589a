/**
 * The server's connections and which of them have an answer under way.
 *
 * Node calls a connection idle once an answer was handed to it, even if most of the bytes still wait to be sent, and
 * `http.Server.close` destroys idle connections: a large answer to a slow reader would be cut short by a shutdown. Here an
 * answer is under way until its last byte was handed to the system.
 */

import type { Server, ServerResponse } from "node:http";
import { Server as NetServer, type Socket } from "node:net";

export class Connections {
  readonly #server: Server;
  /** Answers under way per open connection. */
  readonly #answers = new Map<Socket, number>();
  #isClosing = false;

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#answers.set(socket, 0);
      socket.once("close", () => this.#answers.delete(socket));
    });
  }

  /** Counts an answer that begins. */
  begin({ socket }: { readonly socket: Socket }, response: ServerResponse): void {
    this.#answers.set(socket, (this.#answers.get(socket) ?? 0) + 1);
    response.once("close", () => {
      const left = (this.#answers.get(socket) ?? 1) - 1;
      if (!socket.destroyed) this.#answers.set(socket, left);
      if (this.#isClosing && left === 0) socket.end();
    });
  }

  /** Takes no new connections and resolves when all have ended; cuts what is left after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) => {
      // The method of `http.Server` would end the connections that Node takes for idle.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    for (const [socket, answers] of this.#answers) if (answers === 0) socket.destroy();
    const timer = setTimeout(() => {
      for (const socket of this.#answers.keys()) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
  }
}
