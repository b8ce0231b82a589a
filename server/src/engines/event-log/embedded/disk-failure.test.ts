/** What the writer does when the queue or the disk is full and when the disk fails. */

import { describe, expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { EventLog } from "../log.ts";
import { openLogOn } from "./embedded-log.ts";
import type { EmbeddedLogOptions, EmbeddedLogReport } from "./embedded-log.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const refusedWith = (code: string) => ({ name: "Fault", kind: "unavailable", code });
const NO_LIMIT = { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };

let micros = 1;

function append(log: EventLog, bytes: number): Promise<{ offset: number }> {
  micros += 1;
  return log.append({ count: 1, ingestedAt: instantFromMicros(micros), payload: new Uint8Array(bytes).fill(bytes) });
}

async function lengths(log: EventLog): Promise<number[]> {
  return (await log.read(0, 0, NO_LIMIT)).map((record) => record.payload.length);
}

function open(
  disk: SimulatedDisk,
  reports: EmbeddedLogReport[],
  limits: Partial<EmbeddedLogOptions> = {},
): Promise<EventLog> {
  return openLogOn(disk, { directory: "/log", report: (report) => reports.push(report), ...limits });
}

describe("back-pressure", () => {
  test.each([
    ["records", { maxQueuedRecords: 3 }],
    ["bytes", { maxQueuedBytes: 3 * 148 }],
  ])("a queue full of %s refuses more and accepts again when it has drained", async (_, limits) => {
    const log = await open(new SimulatedDisk(), [], limits);
    const accepted = [append(log, 100), append(log, 100), append(log, 100)];
    const refused = await append(log, 100).catch((fault: unknown) => fault);
    expect(refused).toMatchObject({ ...refusedWith("queue_full"), retryAfterSeconds: 1 });
    expect((await Promise.all(accepted)).map(({ offset }) => offset)).toEqual([0, 1, 2]);
    expect((await append(log, 7)).offset).toBe(3);
    expect(await lengths(log)).toEqual([100, 100, 100, 7]);
    await log.close();
  });

  test("a record larger than the queue is accepted when nothing waits", async () => {
    const log = await open(new SimulatedDisk(), [], { maxQueuedBytes: 1000 });
    const large = append(log, 5000);
    await expect(append(log, 1)).rejects.toMatchObject(refusedWith("queue_full"));
    expect((await large).offset).toBe(0);
    await log.close();
  });
});

describe("a full disk", () => {
  test.each([
    ["in the middle of a segment", 1 << 20, 2000],
    ["when a new segment is due", 500, 450],
  ])("%s refuses records, loses none, and recovers when space returns", async (_, segmentBytes, capacityBytes) => {
    const disk = new SimulatedDisk();
    const reports: EmbeddedLogReport[] = [];
    const log = await open(disk, reports, { segmentBytes });
    disk.capacityBytes = capacityBytes;
    await append(log, 300);
    const refused = await Promise.allSettled([append(log, 1900), append(log, 1901)]);
    for (const each of refused)
      expect(each).toMatchObject({
        status: "rejected",
        reason: { ...refusedWith("storage_full"), retryAfterSeconds: 5 },
      });
    expect(reports.map((report) => report.kind)).toContain("write_failed");
    expect([log.end(0), await lengths(log)]).toEqual([1, [300]]);
    disk.capacityBytes = 100_000;
    expect((await append(log, 2000)).offset).toBe(1);
    expect(await lengths(log)).toEqual([300, 2000]);
    disk.killProcess();
    const again = await open(disk, reports, { segmentBytes });
    expect(await lengths(again)).toEqual([300, 2000]);
    expect(reports.filter((report) => report.kind !== "write_failed")).toEqual([]);
    await again.close();
  });

  test("that cannot even be cut back stops the log until it is opened again", async () => {
    const disk = new SimulatedDisk();
    const reports: EmbeddedLogReport[] = [];
    const log = await open(disk, reports);
    await append(log, 300);
    disk.capacityBytes = 1000;
    disk.failing = "truncate";
    await expect(append(log, 1900)).rejects.toMatchObject(refusedWith("storage_read_only"));
    expect(reports.map((report) => report.kind)).toEqual(["stopped"]);
    disk.capacityBytes = 100_000;
    disk.failing = "nothing";
    await expect(append(log, 1)).rejects.toMatchObject(refusedWith("storage_read_only"));
    await log.close();
    const again = await open(disk, reports);
    expect(reports.map((report) => report.kind)).toEqual(["stopped", "tail_cut"]);
    expect(await lengths(again)).toEqual([300]);
    expect((await append(again, 5)).offset).toBe(1);
    await again.close();
  });
});

describe("a failed sync", () => {
  test("stops the log; what can be read after opening it again survives a power cut", async () => {
    const disk = new SimulatedDisk();
    const reports: EmbeddedLogReport[] = [];
    const log = await open(disk, reports);
    await append(log, 300);
    disk.failing = "sync";
    const refused = await Promise.allSettled([append(log, 700), append(log, 800)]);
    expect(refused.map((each) => each.status)).toEqual(["rejected", "rejected"]);
    disk.failing = "nothing";
    await expect(append(log, 1)).rejects.toMatchObject(refusedWith("log_stopped"));
    expect([log.end(0), await lengths(log)]).toEqual([1, [300]]);
    expect(reports.map((report) => report.kind)).toEqual(["stopped"]);
    await log.close();
    // The cache still shows the records whose sync failed, and takes them for stored.
    const again = await open(disk, reports);
    expect(await lengths(again)).toEqual([300, 700, 800]);
    disk.cutPower();
    const last = await open(disk, reports);
    expect(await lengths(last)).toEqual([300, 700, 800]);
    await last.close();
  });

  test("of the directory stops the log as well", async () => {
    const disk = new SimulatedDisk();
    const reports: EmbeddedLogReport[] = [];
    const log = await open(disk, reports, { segmentBytes: 500 });
    await append(log, 400);
    disk.failing = "directory sync";
    await expect(append(log, 401)).rejects.toMatchObject(refusedWith("log_stopped"));
    disk.failing = "nothing";
    await expect(append(log, 402)).rejects.toMatchObject(refusedWith("log_stopped"));
    expect(reports.map((report) => report.kind)).toEqual(["stopped"]);
    await log.close();
    const again = await open(disk, reports, { segmentBytes: 500 });
    expect((await append(again, 403)).offset).toBe(1);
    expect(await lengths(again)).toEqual([400, 403]);
    await again.close();
  });
});

test("closing stores what waits", async () => {
  const disk = new SimulatedDisk();
  const log = await open(disk, []);
  const waiting = Promise.all([append(log, 1), append(log, 2), append(log, 3)]);
  await log.close();
  expect((await waiting).map(({ offset }) => offset)).toEqual([0, 1, 2]);
  const again = await open(disk, []);
  expect(await lengths(again)).toEqual([1, 2, 3]);
  await again.close();
});
