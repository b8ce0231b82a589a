/**
 * A client that asks the running product for images of its data directory, as backups do, and holds each for a moment, so
 * that whatever is killed is killed in the middle of that too.
 */

import { setTimeout as delay } from "node:timers/promises";
import { withImageOfServer } from "../../src/app/backup/control-client.ts";
import { BackupError } from "../../src/app/backup/files.ts";
import type { Random } from "../oracle/random.ts";
import type { Ledger } from "./traffic.ts";

const SHORTEST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5_000;
const HELD_MS = 400;

export interface ImageTakerOptions {
  readonly ledger: Ledger;
  readonly random: Random;
  readonly dataDirectory: string;
  readonly signal: AbortSignal;
}

/** How many images were made and held as long as was wanted, and how many were interrupted. */
export interface ImageCounts {
  readonly held: number;
  readonly interrupted: number;
}

/** Takes images until aborted; a failure that does not come from a kill is added to the ledger's problems. */
export async function takeImages(options: ImageTakerOptions): Promise<ImageCounts> {
  const { ledger, random, dataDirectory, signal } = options;
  let held = 0;
  let interrupted = 0;
  const never = new AbortController().signal;
  while (!signal.aborted) {
    await delay(random.between(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS));
    const heldMs = random.below(HELD_MS);
    try {
      const wasHeld = await withImageOfServer(dataDirectory, never, async (_info, gone) => {
        await delay(heldMs, undefined, { signal: gone }).catch(() => undefined);
        return !gone.aborted;
      });
      if (wasHeld === true) held += 1;
      if (wasHeld === false) interrupted += 1;
    } catch (error) {
      if (error instanceof BackupError) interrupted += 1;
      else ledger.problems.push(`an image of the data directory failed: ${String(error)}`);
    }
  }
  return { held, interrupted };
}
