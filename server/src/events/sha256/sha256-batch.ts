/**
 * SHA-256 of many small messages: about a third of what calling `node:crypto` once per message costs, because nothing is
 * allocated, no border into native code is crossed, and four messages are hashed at once.
 *
 * Messages are written into the program's own memory, where they wait until there are four with the same number of blocks.
 * Digests are the same as those of `node:crypto`, byte for byte (`sha256-batch.test.ts`).
 */

import { hash } from "node:crypto";
import { assert } from "../../kernel/assert.ts";
import { ByteBuffer } from "../../kernel/byte-buffer.ts";
import { BLOCK_BYTES, type HashFour, LANES, sha256Module } from "./sha256-program.ts";

export const DIGEST_BYTES = 32;

/** The part of the WebAssembly interface that is used here: without a browser's types TypeScript does not know it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Program };
};

/** What the program exports. */
interface Program {
  readonly memory: { readonly buffer: ArrayBuffer; readonly grow: (pages: number) => number };
  readonly run: HashFour;
}

const PAGE_BYTES = 65_536;
/** Memory at first: digests, and messages until it grows. */
const INITIAL_PAGES = 8;
/** Longer messages are hashed by `node:crypto`, which has instructions made for it and calls that no longer matter. */
const MAX_BLOCKS = 32;
/** The mark after a message and its length in bits. */
const PADDING_BYTES = 9;

export class Sha256Batch {
  /** Where the caller writes messages, between `begin` and `end`. */
  readonly message: ByteBuffer;
  readonly #capacity: number;
  readonly #memory: Program["memory"];
  readonly #hashFour: HashFour;
  /** Addresses and indices of messages that wait for company, by number of blocks. */
  readonly #waiting: readonly Int32Array[] = Array.from({ length: MAX_BLOCKS + 1 }, () => new Int32Array(2 * LANES));
  readonly #waitingCounts = new Uint8Array(MAX_BLOCKS + 1);
  readonly #firstAddress: number;
  #start = 0;
  #count = 0;

  /** Takes up to `capacity` messages before each `digests`. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#firstAddress = capacity * DIGEST_BYTES;
    const pages = INITIAL_PAGES + Math.ceil(this.#firstAddress / PAGE_BYTES);
    const { memory, run } = new WebAssembly.Instance(new WebAssembly.Module(sha256Module(pages))).exports;
    this.#memory = memory;
    this.#hashFour = run;
    this.message = new ByteBuffer(new Uint8Array(memory.buffer), (bytes, needed) => {
      memory.grow(Math.ceil((Math.max(needed, bytes.length * 2) - bytes.length) / PAGE_BYTES));
      return new Uint8Array(memory.buffer);
    });
    this.message.length = this.#firstAddress;
  }

  /** Whether `digests` must be called before another message. */
  get isFull(): boolean {
    return this.#count === this.#capacity;
  }

  /** Starts a message. */
  begin(): void {
    assert(!this.isFull, "a hash batch takes no more messages than it has room for");
    this.#start = this.message.length;
  }

  /** Ends the message; its digest will be the next one. */
  end(): void {
    const { message } = this;
    const index = this.#count++;
    const length = message.length - this.#start;
    const blocks = Math.ceil((length + PADDING_BYTES) / BLOCK_BYTES);
    if (blocks > MAX_BLOCKS) {
      const digest = hash("sha256", message.bytes.subarray(this.#start, message.length), "buffer");
      message.bytes.set(digest, index * DIGEST_BYTES);
      message.length = this.#start;
      return;
    }
    this.#pad(length, this.#start + blocks * BLOCK_BYTES);
    const waiting = this.#waiting[blocks];
    assert(waiting !== undefined, "every number of blocks has a place to wait at");
    const lane = this.#waitingCounts[blocks] ?? 0;
    waiting[lane] = this.#start;
    waiting[LANES + lane] = index * DIGEST_BYTES;
    if (lane + 1 < LANES) {
      this.#waitingCounts[blocks] = lane + 1;
    } else {
      this.#waitingCounts[blocks] = 0;
      this.#run(waiting, blocks);
    }
  }

  /** The digests of all messages since the last call, 32 bytes each, valid until the next `begin`; starts anew. */
  digests(): Uint8Array {
    for (let blocks = 1; blocks <= MAX_BLOCKS; blocks++) {
      const count = this.#waitingCounts[blocks] ?? 0;
      const waiting = this.#waiting[blocks];
      if (count === 0 || waiting === undefined) continue;
      // The lanes that are free do the first message once more.
      for (let lane = count; lane < LANES; lane++) {
        waiting[lane] = waiting[0] ?? 0;
        waiting[LANES + lane] = waiting[LANES] ?? 0;
      }
      this.#waitingCounts[blocks] = 0;
      this.#run(waiting, blocks);
    }
    const length = this.#count * DIGEST_BYTES;
    this.#count = 0;
    this.message.length = this.#firstAddress;
    return new Uint8Array(this.#memory.buffer, 0, length);
  }

  /** A bit that is 1, zeros, and the length in bits as the last 8 bytes. */
  #pad(length: number, end: number): void {
    const { message } = this;
    message.reserve(end - message.length);
    const { bytes } = message;
    let at = message.length;
    bytes[at++] = 0x80;
    while (at < end - 4) bytes[at++] = 0;
    const bits = length * 8;
    bytes[at++] = bits >>> 24;
    bytes[at++] = bits >>> 16;
    bytes[at++] = bits >>> 8;
    bytes[at++] = bits;
    message.length = at;
  }

  #run(waiting: Int32Array, blocks: number): void {
    const [message0 = 0, message1 = 0, message2 = 0, message3 = 0] = waiting;
    this.#hashFour(
      message0,
      message1,
      message2,
      message3,
      blocks,
      waiting[LANES] ?? 0,
      waiting[LANES + 1] ?? 0,
      waiting[LANES + 2] ?? 0,
      waiting[LANES + 3] ?? 0,
    );
  }
}
