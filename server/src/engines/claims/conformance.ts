/**
 * What every implementation of the claims port does, as tests.
 *
 * `open(place)` opens the claims kept under a name: a new name is a new, empty store, and a name that was used before is
 * the store as it was left. Each implementation removes its places by itself.
 */

import { createHash, randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { IDENTITY_BYTES } from "./claims.ts";
import type { ClaimRequest, ClaimResult, Claims } from "./claims.ts";

/** One identity of a request, or its first claim, in readable form. */
export interface ClaimRow {
  readonly identity: Uint8Array;
  readonly offset: number;
  /** Stands for the payload; its number is the fingerprint. */
  readonly payload: number;
}

/** SHA-256 over the length-prefixed parts, as for the identity of an event. */
export function identityOf(...parts: readonly string[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(part));
    hash.update(length).update(part);
  }
  return hash.digest();
}

export function requestOf(partition: number, rows: readonly ClaimRow[]): ClaimRequest {
  const identities = new Uint8Array(rows.length * IDENTITY_BYTES);
  const fingerprints = Buffer.alloc(rows.length * 8);
  for (const [index, row] of rows.entries()) {
    identities.set(row.identity, index * IDENTITY_BYTES);
    fingerprints.writeBigUInt64LE(BigInt(row.payload), index * 8);
  }
  return {
    partition,
    count: rows.length,
    identities,
    fingerprints,
    offsets: Float64Array.from(rows, (row) => row.offset),
  };
}

/** The answer as one `partition/offset payload` per identity. */
export function answersOf(result: ClaimResult): string[] {
  const fingerprints = Buffer.from(result.fingerprints);
  return Array.from(result.partitions, (partition, index) => {
    return `${partition}/${result.offsets[index]} ${fingerprints.readBigUInt64LE(index * 8)}`;
  });
}

export function claimsConformance(name: string, open: (place: string) => Promise<Claims>): void {
  const row = (id: string, offset: number, payload = offset): ClaimRow => {
    return { identity: identityOf("default", "svc", id), offset, payload };
  };

  /** Claims rows of a partition and returns the readable answer. */
  async function claim(claims: Claims, partition: number, rows: readonly ClaimRow[]): Promise<string[]> {
    return answersOf(await claims.claim(requestOf(partition, rows)));
  }

  async function withClaims(body: (claims: Claims) => Promise<void>): Promise<void> {
    const claims = await open(randomUUID());
    try {
      await body(claims);
    } finally {
      await claims.close();
    }
  }

  describe(`claims: ${name}`, () => {
    test("the first claim wins, and carries its payload", async () => {
      await withClaims(async (claims) => {
        expect(await claim(claims, 3, [row("a", 10, 1)])).toEqual(["3/10 1"]);
        expect(await claim(claims, 3, [row("a", 11, 2)])).toEqual(["3/10 1"]);
        expect(await claim(claims, 4, [row("a", 5, 3), row("b", 6, 4)])).toEqual(["3/10 1", "4/6 4"]);
      });
    });

    test("repeating a claim with the same positions repeats the answer", async () => {
      await withClaims(async (claims) => {
        const rows = [row("a", 0), row("b", 1), row("a", 2), row("c", 3)];
        const first = await claim(claims, 0, rows);
        expect(first).toEqual(["0/0 0", "0/1 1", "0/0 0", "0/3 3"]);
        expect(await claim(claims, 0, rows)).toEqual(first);
        expect(await claims.count()).toBe(3);
      });
    });

    test("within a request the lower index wins, also against a lower offset", async () => {
      await withClaims(async (claims) => {
        expect(await claim(claims, 1, [row("a", 9, 1), row("a", 8, 2)])).toEqual(["1/9 1", "1/9 1"]);
      });
    });

    test("namespace, source and id are not interchangeable", async () => {
      await withClaims(async (claims) => {
        const parts = [
          ["n", "svc-1", "2"],
          ["n", "svc", "1-2"],
          ["n", "svc", "12"],
          ["n-svc", "1", "2"],
        ];
        const rows = parts.map((each, index) => ({ identity: identityOf(...each), offset: index, payload: 0 }));
        expect(await claim(claims, 0, rows)).toEqual(["0/0 0", "0/1 0", "0/2 0", "0/3 0"]);
      });
    });

    test("identities that differ late are different", async () => {
      await withClaims(async (claims) => {
        const rows = [0, 4, 8, 12, 15].map((place, index) => {
          const identity = new Uint8Array(IDENTITY_BYTES).fill(7);
          identity[place] = 8;
          return { identity, offset: index, payload: index };
        });
        const answers = ["0/0 0", "0/1 1", "0/2 2", "0/3 3", "0/4 4"];
        expect(await claim(claims, 0, rows)).toEqual(answers);
        expect(await claim(claims, 1, rows)).toEqual(answers);
      });
    });

    test("the largest positions and fingerprints survive", async () => {
      await withClaims(async (claims) => {
        const identity = identityOf("a");
        const request = requestOf(65_535, [{ identity, offset: 2 ** 48 - 1, payload: 0 }]);
        request.fingerprints.fill(255);
        const answer = ["65535/281474976710655 18446744073709551615"];
        expect(answersOf(await claims.claim(request))).toEqual(answer);
        expect(await claim(claims, 0, [{ identity, offset: 0, payload: 0 }])).toEqual(answer);
      });
    });

    test("an empty request has an empty answer", async () => {
      await withClaims(async (claims) => {
        expect(await claim(claims, 0, [])).toEqual([]);
        expect(await claims.count()).toBe(0);
      });
    });

    test("claims of the same identity that overlap in time agree on one winner", async () => {
      await withClaims(async (claims) => {
        const answers = await Promise.all([0, 1, 2, 3].map((partition) => claim(claims, partition, [row("a", 7, 0)])));
        expect(new Set(answers.flat()).size).toBe(1);
        expect(await claims.count()).toBe(1);
      });
    });

    test("claims and their count outlive the process that made them", async () => {
      const place = randomUUID();
      const rows = Array.from({ length: 1000 }, (_, index) => row(`e${index}`, index));
      const before = await open(place);
      const answers = await claim(before, 2, rows);
      await before.close();
      const after = await open(place);
      expect(await after.count()).toBe(1000);
      expect(await claim(after, 5, rows)).toEqual(answers);
      expect(await claim(after, 5, [row("new", 1, 1)])).toEqual(["5/1 1"]);
      await after.close();
    });
  });
}
