import { describe, expect, test } from "vitest";
import { Fault } from "../../kernel/fault.ts";
import { Admission } from "./admission.ts";
import { roomOf } from "./free-space.ts";
import type { Room } from "./free-space.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

describe("the reserve", () => {
  test.each([
    ["1 % of a small disk", 50 * MIB, 10 * GIB, undefined, Math.floor(10 * GIB * 0.01), true],
    ["256 MiB of a large one", 200 * MIB, 1000 * GIB, undefined, 256 * MIB, true],
    ["as configured", 50 * MIB, 10 * GIB, 40 * MIB, 40 * MIB, false],
    ["exactly reached is enough", 40 * MIB, 10 * GIB, 40 * MIB, 40 * MIB, false],
    ["one byte less is not", 40 * MIB - 1, 10 * GIB, 40 * MIB, 40 * MIB, true],
    ["none", 0, 10 * GIB, 0, 0, false],
  ])("%s", (_, free, total, minFreeBytes, reserveBytes, isShort) => {
    expect(roomOf(free, total, minFreeBytes, null)).toEqual({ freeBytes: free, reserveBytes, isShort });
  });

  test("a disk that was short must have clearly more than the reserve", () => {
    let room: Room | null = null;
    const seen = [100, 79, 80, 89, 90, 80].map((free) => {
      room = roomOf(free, 1000, 80, room);
      return room.isShort;
    });
    expect(seen).toEqual([false, true, true, true, false, false]);
  });
});

describe("admission", () => {
  const state = { backlog: 0, nowMs: 0, room: null as Room | null };
  const create = (): Admission => {
    Object.assign(state, { backlog: 0, nowMs: 0, room: null });
    return new Admission({
      directory: "/data/log",
      backlog: () => state.backlog,
      maxBacklogEvents: 10,
      room: () => state.room,
      nowMs: () => state.nowMs,
    });
  };
  const fault = (code: string): Fault => new Fault("unavailable", code, code);

  test("nothing is wrong", () => {
    const admission = create();
    state.backlog = 9;
    state.room = roomOf(100, 1000, 50, null);
    expect([admission.refusal(), admission.unreadiness()]).toEqual([null, null]);
  });

  test("the reason that only a person can remove comes first, and each ends with its cause", () => {
    const admission = create();
    state.backlog = 10;
    expect(admission.refusal()).toMatchObject({ code: "backlog_full", retryAfterSeconds: 5 });
    state.room = roomOf(10 * MIB, GIB, 20 * MIB, null);
    expect(admission.refusal()).toMatchObject({ code: "storage_full", retryAfterSeconds: 30 });
    expect(admission.refusal()?.message).toMatch(/\/data\/log is nearly full: 10\.0 MiB are free, and 20\.0 MiB/);
    expect(admission.unreadiness()).toEqual(admission.refusal());
    state.room = roomOf(GIB, GIB, 20 * MIB, state.room);
    state.backlog = 0;
    expect(admission.refusal()).toBeNull();
    admission.hear({ kind: "stopped", fault: fault("log_stopped") });
    state.backlog = 10;
    admission.durable();
    expect(admission.refusal()?.code).toBe("log_stopped");
  });

  test("a failed write refuses nothing, and is a reason to send events elsewhere until one succeeds or a while later", () => {
    const admission = create();
    admission.hear({ kind: "write_failed", fault: fault("storage_full") });
    expect([admission.refusal(), admission.unreadiness()?.code]).toEqual([null, "storage_full"]);
    admission.durable();
    expect(admission.unreadiness()).toBeNull();
    admission.hear({ kind: "write_failed", fault: fault("log_unavailable") });
    state.nowMs = 4_999;
    expect(admission.unreadiness()?.code).toBe("log_unavailable");
    state.nowMs = 5_000;
    expect(admission.unreadiness()).toBeNull();
  });

  test("a cut tail is no reason", () => {
    const admission = create();
    admission.hear({ kind: "tail_cut", file: "f", position: 1, bytes: 1 });
    expect(admission.unreadiness()).toBeNull();
  });
});
