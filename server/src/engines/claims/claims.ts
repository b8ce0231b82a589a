/**
 * The claims port: which log position was the first to carry an event identity.
 *
 * Invariants every implementation keeps (see `conformance.ts`):
 * 1. The first claim of an identity wins for ever; claims never expire.
 * 2. `claim` is idempotent: repeating it with the same position returns the same answer.
 * 3. Claims are durable before `claim` resolves.
 * 4. Within one request a lower index claims first.
 */

/** Bytes of an identity: SHA-256 over the length-prefixed namespace, source and id (`metering.md` section 2). */
export const IDENTITY_BYTES = 32;

/** A batch of identities, in offset order, as parallel columns. */
export interface ClaimRequest {
  readonly partition: number;
  readonly count: number;
  /** `count` identities of 32 bytes each, one after the other. */
  readonly identities: Uint8Array;
  /** The first 8 bytes of each event's payload hash, one after the other; they tell a retry from a conflict. */
  readonly fingerprints: Uint8Array;
  /** Log offset of each event. */
  readonly offsets: Float64Array;
}

/** The first claim of each identity, as parallel columns of the length of the request. */
export interface ClaimResult {
  readonly partitions: Uint16Array;
  readonly offsets: Float64Array;
  readonly fingerprints: Uint8Array;
}

export interface Claims {
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /** How many identities are claimed; fewer than there are stored events tells that claims were lost. */
  count(): Promise<number>;
  close(): Promise<void>;
}
