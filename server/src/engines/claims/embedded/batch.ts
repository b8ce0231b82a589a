/**
 * A batch: one claim request while it is being answered.
 *
 * Holds the request's keys as words, their hashes (computed once, used for the table and for the filter of every run) and
 * the columns of the result as they fill up.
 */

import { assert } from "../../../kernel/assert.ts";
import { IDENTITY_BYTES } from "../claims.ts";
import type { ClaimRequest, ClaimResult } from "../claims.ts";
import {
  bitsHash,
  ENTRY_WORDS,
  OFFSET_LIMIT,
  PARTITION_LIMIT,
  placeHash,
  readOffset,
  readPartition,
  writePosition,
} from "./entry.ts";
import type { Seeds } from "./entry.ts";

const FINGERPRINT_BYTES = 8;

export class Batch {
  readonly count: number;
  /** The identities, eight words each; the first four are the key. */
  readonly keys: Uint32Array;
  /** `placeHash` and `bitsHash` of each key. */
  readonly places: Uint32Array;
  readonly bits: Uint32Array;
  /** 1 for each identity whose first claim is known. */
  readonly isAnswered: Uint8Array;
  readonly result: ClaimResult;
  readonly #partition: number;
  readonly #offsets: Float64Array;
  readonly #fingerprints: Uint32Array;
  readonly #resultFingerprints: Uint32Array;

  constructor(request: ClaimRequest) {
    const { count, partition } = request;
    assert(Number.isInteger(count) && count >= 0, "a claim request has a whole number of identities");
    assert(
      Number.isInteger(partition) && partition >= 0 && partition < PARTITION_LIMIT,
      "a claim names a partition of 16 bits",
    );
    assert(request.identities.length === count * IDENTITY_BYTES, "a claim request has 32 bytes per identity");
    assert(request.fingerprints.length === count * FINGERPRINT_BYTES, "a claim request has 8 bytes per fingerprint");
    assert(request.offsets.length === count, "a claim request has one offset per identity");
    const isEveryOffsetValid = request.offsets.every(
      (offset) => Number.isInteger(offset) && offset >= 0 && offset < OFFSET_LIMIT,
    );
    assert(isEveryOffsetValid, "a claimed offset is a whole number of at most 48 bits");
    this.count = count;
    this.keys = asWords(request.identities);
    this.places = new Uint32Array(count);
    this.bits = new Uint32Array(count);
    this.isAnswered = new Uint8Array(count);
    this.#partition = partition;
    this.#offsets = request.offsets;
    this.#fingerprints = asWords(request.fingerprints);
    this.#resultFingerprints = new Uint32Array(count * 2);
    this.result = {
      partitions: new Uint16Array(count),
      offsets: new Float64Array(count),
      fingerprints: new Uint8Array(this.#resultFingerprints.buffer),
    };
  }

  /** Computes the hashes of the identities `from .. to - 1`. */
  hash(from: number, to: number, seeds: Seeds): void {
    for (let index = from; index < to; index++) {
      this.places[index] = placeHash(this.keys, index * ENTRY_WORDS, seeds);
      this.bits[index] = bitsHash(this.keys, index * ENTRY_WORDS, seeds);
    }
  }

  /** Takes the entry at `entries[at]` as the first claim of the identity `index`. */
  answer(index: number, entries: Uint32Array, at: number): void {
    this.isAnswered[index] = 1;
    this.result.partitions[index] = readPartition(entries, at);
    this.result.offsets[index] = readOffset(entries, at);
    this.#resultFingerprints[index * 2] = entries[at + 6] as number;
    this.#resultFingerprints[index * 2 + 1] = entries[at + 7] as number;
  }

  /** Completes the entry at `entries[at]`, which has the key of the identity `index`, with what the request says. */
  completeEntry(index: number, entries: Uint32Array, at: number): void {
    writePosition(entries, at, this.#partition, this.#offsets[index] as number);
    entries[at + 6] = this.#fingerprints[index * 2] as number;
    entries[at + 7] = this.#fingerprints[index * 2 + 1] as number;
  }
}

/** The bytes as words, copied only where their place in memory does not allow a view. */
function asWords(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
