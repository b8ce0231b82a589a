/** The reader and what it must not believe: bytes that were not durable when it read them. */

import { describe, expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import { openLogOn } from "./embedded-log.ts";
import { PositionIndex } from "./position-index.ts";
import { SegmentReader } from "./reader.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const SEGMENT = "/log/00000000000000000000.log";
const NO_LIMIT = { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };

describe("a reader", () => {
  test("reads again what was half-written when it looked first", async () => {
    const disk = new SimulatedDisk();
    const log = await openLogOn(disk, { directory: "/log", report: () => undefined });
    await log.append({ count: 1, ingestedAt: instantFromMicros(1), payload: new Uint8Array(100).fill(1) });
    const secondAt = disk.bytesOf(SEGMENT).length;
    await log.append({ count: 1, ingestedAt: instantFromMicros(2), payload: new Uint8Array(100).fill(2) });
    const whole = disk.bytesOf(SEGMENT);
    disk.put(SEGMENT, Buffer.from(whole).fill(0, secondAt + 60));
    const reader = await SegmentReader.open(disk, "/log", 1);
    expect(await reader.read(0, 0, NO_LIMIT)).toHaveLength(1);
    const file = await disk.open(SEGMENT, "write");
    await file.write(whole, 0);
    reader.setEnd(0, 2);
    expect((await reader.read(0, 1, NO_LIMIT)).map((record) => record.payload[99])).toEqual([2]);
    await reader.close();
  });

  test("says so when the log ends before the durable end that it was told", async () => {
    const disk = new SimulatedDisk();
    const log = await openLogOn(disk, { directory: "/log", report: () => undefined });
    await log.append({ count: 1, ingestedAt: instantFromMicros(1), payload: new Uint8Array(100) });
    const reader = await SegmentReader.open(disk, "/log", 5);
    await expect(reader.read(0, 0, NO_LIMIT)).rejects.toThrow("the log goes on to offset 5");
    await reader.close();
  });
});

describe("the position index", () => {
  test("finds the nearest record before an offset, whatever the order in which records became known", () => {
    const index = new PositionIndex();
    const spacing = 100_000;
    for (const number of [5, 1, 9, 3, 7]) index.note(0, { offset: number * 10, position: number * spacing });
    const found = [9, 10, 15, 30, 69, 70, 1000].map((offset) => index.floor(0, offset)?.offset);
    expect(found).toEqual([undefined, 10, 10, 30, 50, 70, 90]);
    expect(index.floor(1, 100)).toBeUndefined();
  });

  test("keeps one record per 64 KiB and forgets the segments that were used least recently", () => {
    const index = new PositionIndex();
    index.note(0, { offset: 1, position: 70_000 });
    index.note(0, { offset: 2, position: 80_000 });
    expect(index.floor(0, 2)?.offset).toBe(1);
    for (let segment = 1; segment <= 64; segment += 1) index.note(segment, { offset: 1, position: 70_000 });
    expect([index.floor(0, 2), index.floor(1, 1)?.offset]).toEqual([undefined, 1]);
  });
});
