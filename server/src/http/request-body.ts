/**
 * Request bodies as bytes, with limits on their size before and after decompression and on what all requests together
 * may hold in memory.
 */

import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
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
      throw new Fault(
        "validation",
        "unsupported_encoding",
        `unsupported content encoding: ${encoding}; send gzip or none`,
      );
    }
    if (Number(request.headers["content-length"] ?? 0) > this.#maxBodyBytes) throw this.#tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      this.#heldBytes += chunk.length;
      if (size > this.#maxBodyBytes) throw this.#tooLarge();
      if (this.#heldBytes > this.#maxHeldBytes) {
        throw new Fault("unavailable", "server_busy", "the server has too many requests in memory; send this again", {
          retryAfterSeconds: 1,
        });
      }
      chunks.push(chunk);
    };
    try {
      await (encoding === "gzip" ? consumeGunzipped(request, take) : consume(request, take));
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

/**
 * Hands every chunk to `take`; rejects with what it throws and leaves the rest unread. By events, because making an async
 * iterator of a request costs more than reading a small body.
 */
async function consume(source: Readable, take: (chunk: Buffer) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      try {
        take(chunk);
      } catch (error) {
        source.off("data", onData);
        source.pause();
        reject(error);
      }
    };
    source.on("data", onData);
    source.once("end", resolve);
    // A client that leaves in the middle is an error of the request.
    source.on("error", reject);
  });
}

async function consumeGunzipped(request: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> {
  const gunzip = createGunzip();
  request.on("error", (error) => gunzip.destroy(error));
  try {
    await consume(request.pipe(gunzip), take);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("validation", "invalid_gzip", "the request body is not valid gzip", { cause: error });
  } finally {
    request.unpipe(gunzip);
    gunzip.destroy();
  }
}
