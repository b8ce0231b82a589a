/**
 * Rebuilds lost claims from the stored events: every stored event is the first of its identity, so claiming them again in
 * offset order yields the claims that were lost.
 */

import type { Claims } from "../../engines/claims/index.ts";
import { type EventStore, eventBytes } from "../../engines/event-store/index.ts";
import { EventHasher } from "../event-hash.ts";

const OFFSETS_PER_READ = 10_000;

/** Claims the identities of all stored events of `partition` before the offset `end`. */
export async function rebuildClaims(claims: Claims, store: EventStore, partition: number, end: number): Promise<void> {
  const hasher = new EventHasher();
  for (let from = 0; from < end; from += OFFSETS_PER_READ) {
    const offsets = await store.storedOffsets(partition, from, Math.min(from + OFFSETS_PER_READ, end) - 1);
    const events = (await store.eventsAt(partition, offsets)).toSorted((a, b) => a.offset - b.offset);
    const identities = new Uint8Array(events.length * 32);
    const fingerprints = new Uint8Array(events.length * 8);
    events.forEach((event, index) => {
      const bytes = eventBytes(event);
      identities.set(hasher.identity(Buffer.from(event.namespace), bytes), index * 32);
      fingerprints.set(hasher.payloadHash(bytes).subarray(0, 8), index * 8);
    });
    await claims.claim({
      partition,
      count: events.length,
      identities,
      fingerprints,
      offsets: Float64Array.from(events, (event) => event.offset),
    });
  }
}
