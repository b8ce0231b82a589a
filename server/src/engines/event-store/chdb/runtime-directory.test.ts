/** Which directories of dead processes are removed, and which are not ours to remove. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { makeRuntimeDirectory, removeStaleRuntimeDirectories } from "./runtime-directory.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "runtime-"));
  vi.stubEnv("TMPDIR", root);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true, force: true });
});

/** The id of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

async function leftOver(name: string): Promise<string> {
  const path = join(root, name);
  await mkdir(path);
  await writeFile(join(path, "batch.rows"), "rows");
  return path;
}

test("a directory of a dead process goes, one of a living process stays", async () => {
  const own = await makeRuntimeDirectory();
  expect(dirname(own)).toBe(root);
  const dead = await leftOver(`tallystick-engine-${deadPid()}-AbCd12`);
  const alive = await leftOver(`tallystick-engine-${process.ppid}-AbCd12`);
  await removeStaleRuntimeDirectories();
  expect([existsSync(own), existsSync(dead), existsSync(alive)]).toEqual([true, false, true]);
});

test("what only looks similar stays", async () => {
  const pid = deadPid();
  const others = [
    `tallystick-engine-${pid}-notes`,
    `tallystick-engine-x-AbCd12`,
    `tallystick-e2e-AbCd12`,
    `${pid}-AbCd12`,
  ];
  const kept = await Promise.all(others.map(leftOver));
  const target = await leftOver("precious");
  const link = join(root, `tallystick-engine-${pid}-LiNk12`);
  await symlink(target, link);
  const file = join(root, `tallystick-engine-${pid}-FiLe12`);
  await writeFile(file, "");
  await removeStaleRuntimeDirectories();
  for (const path of [...kept, target, join(target, "batch.rows"), link, file])
    expect(existsSync(path), path).toBe(true);
});

test("a socket that somebody listens on keeps its directory, whatever the process in the name", async () => {
  const path = await leftOver(`tallystick-engine-${deadPid()}-AbCd12`);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(path, "engine.sock"), resolve));
  await removeStaleRuntimeDirectories();
  expect(existsSync(path)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  await removeStaleRuntimeDirectories();
  expect(existsSync(path)).toBe(false);
});
