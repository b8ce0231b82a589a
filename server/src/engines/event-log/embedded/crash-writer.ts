/**
 * The child process of the crash tests: appends records with all its might and prints a line for each acknowledgement,
 * until it is killed. Usage: `crash-writer.ts <directory>`. `crashPayload` tells the parent what to expect.
 */

import { instantFromMicros } from "../../../kernel/instant.ts";
import { openEmbeddedLog } from "./embedded-log.ts";

const WRITERS = 8;
const SEGMENT_BYTES = 256 * 1024;

/** The payload of the record that was ingested at `ingestedAtMicros`. */
export function crashPayload(ingestedAtMicros: number): Uint8Array {
  const bytes = (ingestedAtMicros * 7919) % 6007;
  return new Uint8Array(bytes).map((_, at) => (ingestedAtMicros + at * at) & 255);
}

/** Number of events of that record. */
export function crashCount(ingestedAtMicros: number): number {
  return 1 + (ingestedAtMicros % 5);
}

async function write(directory: string): Promise<void> {
  const log = await openEmbeddedLog({ directory, segmentBytes: SEGMENT_BYTES, report: () => undefined });
  let next = Number(log.lastIngestedAt ?? 0) + 1;
  const appendForEver = async (): Promise<never> => {
    for (;;) {
      const micros = next;
      const count = crashCount(micros);
      next += count;
      const record = { count, ingestedAt: instantFromMicros(micros), payload: crashPayload(micros) };
      const { offset } = await log.append(record);
      process.stdout.write(`${offset} ${micros}.\n`);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, appendForEver));
}

if (import.meta.main) await write(process.argv[2] ?? "");
