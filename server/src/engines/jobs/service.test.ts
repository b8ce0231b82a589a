import { describe, expect, test } from "vitest";
import { backOffMs } from "./back-off.ts";
import { Loop } from "./service.ts";

/** Longer than any test: nothing here may depend on the interval running out. */
const NEVER_MS = 1_000_000;

describe("loop", () => {
  test("repeats at once while there is work, and drain finishes it", async () => {
    let work = 5;
    const loop = new Loop({
      step: async () => {
        work -= 1;
        return work > 0;
      },
      intervalMs: NEVER_MS,
      onError: () => undefined,
    });
    const running = loop.run();
    await loop.drain();
    await running;
    expect(work).toBe(0);
  });

  test("stop ends after the step under way, whatever is left", async () => {
    let steps = 0;
    const loop: Loop = new Loop({
      step: async () => {
        steps += 1;
        if (steps === 3) void loop.stop();
        return true;
      },
      intervalMs: NEVER_MS,
      onError: () => undefined,
    });
    await loop.run();
    expect(steps).toBe(3);
  });

  test("a failed step is reported, and the loop goes on", async () => {
    const errors: unknown[] = [];
    let steps = 0;
    const loop: Loop = new Loop({
      step: async () => {
        steps += 1;
        if (steps === 2) void loop.stop();
        throw new Error(`step ${steps}`);
      },
      intervalMs: 1,
      onError: (error) => errors.push(error),
    });
    await loop.run();
    expect(errors).toEqual([new Error("step 1"), new Error("step 2")]);
  });

  test("a wake before the wait is not lost", async () => {
    let steps = 0;
    const loop: Loop = new Loop({
      step: async () => {
        steps += 1;
        if (steps === 1) loop.wake();
        else void loop.stop();
        return false;
      },
      intervalMs: NEVER_MS,
      onError: () => undefined,
    });
    await loop.run();
    expect(steps).toBe(2);
  });

  test("stopped before it runs, it does nothing; it runs once", async () => {
    const loop = new Loop({
      step: () => Promise.reject(new Error("ran")),
      intervalMs: NEVER_MS,
      onError: () => expect.fail(),
    });
    await loop.stop();
    await loop.run();
    await expect(loop.run()).rejects.toThrow("a service runs once");
  });
});

test.each([
  [1, 1000],
  [2, 2000],
  [5, 16_000],
  [12, 2_048_000],
  [13, 3_600_000],
  [2000, 3_600_000],
])("back-off after %i failures is %i ms", (failures, want) => {
  expect(backOffMs(failures)).toBe(want);
});
