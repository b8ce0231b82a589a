/**
 * Request bodies as bytes, with limits on their size before and after decompression and on what all requests together
 * may hold in memory.
 */

import type { IncomingMessage } from "node:http";
import { createGunzip } from "node:zlib";
import { Fault } from "../kernel/fault.ts";

/** Reads bodies; one instance for all requests, because they share the memory. */
export class BodyReader {
  readonly #maxBodyBytes: number;
  readonly #maxHeldBytes: number;
  #heldBytes = 0;

  /** `maxHeldBytes` bounds the bodies of all requests that are being read or processed. */
  constructor(maxBodyBytes: number, maxHeldBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#maxHeldBytes = maxHeldBytes;
  }

  /**
   * Reads the whole body and passes it to `use`; its bytes count as held until `use` is done. Faults: `body_too_large`,
   * `unsupported_encoding`, `invalid_gzip`, `server_busy`.
   */
  async read<Result>(request: IncomingMessage, use: (body: Uint8Array) => Promise<Result>): Promise<Result> {
    const encoding = request.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
    if (encoding !== "identity" && encoding !== "gzip") {
      throw new Fault("validation", "unsupported_encoding", `unsupported content encoding: ${encoding}; send gzip or none`);
    }
    if (Number(request.headers["content-length"] ?? 0) > this.#maxBodyBytes) throw this.#tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of encoding === "gzip" ? gunzipped(request) : request) {
        const bytes: Buffer = chunk;
        size += bytes.length;
        this.#heldBytes += bytes.length;
        if (size > this.#maxBodyBytes) throw this.#tooLarge();
        if (this.#heldBytes > this.#maxHeldBytes) {
          throw new Fault("unavailable", "server_busy", "the server has too many requests in memory; send this again", {
            retryAfterSeconds: 1,
          });
        }
        chunks.push(bytes);
      }
      const [first] = chunks;
      return await use(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, size));
    } finally {
      this.#heldBytes -= size;
    }
  }

  #tooLarge(): Fault {
    const message = `the request body is larger than ${this.#maxBodyBytes} bytes (ingest.maxBodyBytes); split the batch`;
    return new Fault("too_large", "body_too_large", message);
  }
}

async function* gunzipped(request: IncomingMessage): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  request.on("error", (error) => gunzip.destroy(error));
  try {
    yield* request.pipe(gunzip);
  } catch (error) {
    throw new Fault("validation", "invalid_gzip", "the request body is not valid gzip", { cause: error });
  }
}
