/**
 * Statements to the engine process, straight over its socket.
 *
 * Why not `@clickhouse/client`, which a server is asked through: it waits for a timer before every request and streams bodies
 * in pieces, which makes 3 ms of the 1 ms that a small query takes (`SELECT 1`: 2.9 ms against 1.0 ms, side by side).
 * Failures are the client's own errors, so that callers need not tell the two ways apart.
 */

import * as http from "node:http";
import { parseError } from "@clickhouse/client";
import type { Statement } from "../sql/fragment.ts";
import { inlineParameters } from "./binding.ts";

export interface SocketRequest {
  readonly statement: Statement;
  readonly settings: Readonly<Record<string, string | number>>;
  /** Null for a statement that has no answer. */
  readonly format: "JSONCompactEachRow" | "JSONCompact" | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Longest time without a sign of life; none by default. */
  readonly timeoutMs?: number;
}

export class SocketClient {
  readonly #socketPath: string;
  readonly #agent: http.Agent;

  constructor(socketPath: string, maxConnections: number) {
    this.#socketPath = socketPath;
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: maxConnections });
  }

  /** The answer as text. Rejects with a `ClickHouseError` or with the socket's error. */
  async send({ statement, settings, format, headers, timeoutMs }: SocketRequest): Promise<string> {
    const sql = inlineParameters(statement.sql, statement.params);
    const body = Buffer.from(format === null ? sql : `${sql} FORMAT ${format}`);
    const query = new URLSearchParams(Object.entries(settings).map(([name, value]) => [name, String(value)]));
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const request = http.request({
      socketPath: this.#socketPath,
      agent: this.#agent,
      method: "POST",
      path: `/?${query.toString()}`,
      headers: { ...headers, "content-length": body.length },
    });
    if (timeoutMs !== undefined) {
      request.setTimeout(timeoutMs, () => {
        request.destroy(Object.assign(new Error("The event store does not answer."), { code: "ETIMEDOUT" }));
      });
    }
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve(text);
        else reject(parseError(text));
      });
    });
    request.end(body);
    return await promise;
  }

  close(): void {
    this.#agent.destroy();
  }
}
