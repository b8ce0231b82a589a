/**
 * The test suite in four projects: `unit` (tests beside their subject), `e2e` (the whole product over HTTP), `system` (oracle,
 * simulation, benchmarks) and `tidy` (the repository lints itself). Tests start engines as child processes and worker
 * threads, so every test file gets a process of its own, and two at a time are as many as two cores carry.
 */

import { defineConfig } from "vitest/config";
import type { Reporter } from "vitest/node";

const SECOND_MS = 1000;

/** Ends the output with one plain line that people and programs can read: `812 passed, 0 failed, 3 skipped`. */
const closingLine: Reporter = {
  onTestRunEnd(modules) {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
    const failed = count("failed") + modules.filter((module) => module.errors().length > 0).length;
    process.stdout.write(`\n${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped\n`);
  },
};

export default defineConfig({
  test: {
    reporters: ["default", closingLine],
    pool: "forks",
    maxWorkers: 2,
    passWithNoTests: false,
    projects: [
      {
        test: {
          name: "unit",
          include: ["contract/src/**/*.test.ts", "server/src/**/*.test.ts"],
          testTimeout: 30 * SECOND_MS,
          hookTimeout: 60 * SECOND_MS,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["server/test/e2e/**/*.test.ts"],
          sequence: { groupOrder: 1 },
          testTimeout: 180 * SECOND_MS,
          hookTimeout: 120 * SECOND_MS,
        },
      },
      {
        test: {
          name: "system",
          include: ["server/test/**/*.test.ts"],
          exclude: ["server/test/tidy.test.ts", "server/test/tidy/**", "server/test/e2e/**"],
          // Whole servers under load, which are killed: one at a time, so that timings stay predictable.
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
          testTimeout: 180 * SECOND_MS,
          hookTimeout: 120 * SECOND_MS,
        },
      },
      {
        test: {
          name: "tidy",
          include: ["server/test/tidy.test.ts", "server/test/tidy/**/*.test.ts"],
          testTimeout: 20 * SECOND_MS,
        },
      },
    ],
  },
});
