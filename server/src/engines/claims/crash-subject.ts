/**
 * The process that the crash test kills: claims identity after identity and says which claims were answered.
 *
 * `node crash-subject.ts <directory> <first>` claims the identities `first`, `first + 1`, … in batches of changing size,
 * each at the offset of its number, and prints the number of the next identity after every answered batch. Table and fanout
 * are small, so that at any moment a run is being written or merged.
 */

import { writeSync } from "node:fs";
import { createHash } from "node:crypto";
import { IDENTITY_BYTES, openEmbeddedClaims } from "./index.ts";

const STDOUT = 1;
const BATCH_SIZES = [1, 37, 250, 3, 120, 400];

const [directory = "", first = "0"] = process.argv.slice(2);
const claims = await openEmbeddedClaims({ directory, tableCapacity: 400, fanout: 3, threadedMergeEntries: 4000 });
let next = Number(first);
for (let round = 0; ; round++) {
  const count = BATCH_SIZES[round % BATCH_SIZES.length] ?? 1;
  const identities = new Uint8Array(count * IDENTITY_BYTES);
  const offsets = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    identities.set(
      createHash("sha256")
        .update(String(next + index))
        .digest(),
      index * IDENTITY_BYTES,
    );
    offsets[index] = next + index;
  }
  await claims.claim({ partition: 0, count, identities, fingerprints: new Uint8Array(count * 8), offsets });
  next += count;
  writeSync(STDOUT, `${next}\n`);
}
