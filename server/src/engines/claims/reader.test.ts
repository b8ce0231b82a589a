/** Reading an index without claiming: the same answers as the index itself, no change to its files, damage by name. */

import { createHash } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openEmbeddedClaims } from "./embedded.ts";
import { openClaimsReader } from "./reader.ts";

const CLAIMS = 1_000;
let root = "";
let directory = "";

function identity(index: number): Buffer {
  return createHash("sha256").update(String(index)).digest();
}

function identities(from: number, to: number): Buffer {
  return Buffer.concat(Array.from({ length: to - from }, (_, index) => identity(from + index)));
}

/** Several merged runs, and a journal with two frames. */
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-claims-"));
  directory = join(root, "claims");
  const claims = await openEmbeddedClaims({ directory, tableCapacity: 64, fanout: 2 });
  for (let from = 0; from < CLAIMS; from += 50) {
    const offsets = Float64Array.from({ length: 50 }, (_, index) => from + index);
    const fingerprints = new Uint8Array(50 * 8);
    await claims.claim({ partition: 0, count: 50, identities: identities(from, from + 50), fingerprints, offsets });
  }
  await claims.close();
});
afterAll(async () => await rm(root, { recursive: true }));

async function contents(of: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(of)).toSorted();
  return new Map(
    await Promise.all(names.map(async (name) => [name, (await readFile(join(of, name))).toString("hex")] as const)),
  );
}

async function copy(name: string): Promise<string> {
  const to = join(root, name);
  await cp(directory, to, { recursive: true });
  return to;
}

test("finds and visits every claim, and changes nothing", async () => {
  const changed = await copy("torn");
  const journal = join(changed, (await readdir(changed)).find((name) => name.startsWith("journal")) ?? "");
  // Opening the index would cut this off and remove that.
  await writeFile(journal, Buffer.alloc(48), { flag: "a" });
  await writeFile(join(changed, "run-99999999"), "left over");
  const before = await contents(changed);
  const reader = await openClaimsReader(changed);
  expect(reader.count).toBe(CLAIMS);
  expect([...(await reader.find(identities(0, CLAIMS + 2)))]).toEqual([...Array(CLAIMS).keys(), -1, -1]);
  const visited = new Map<number, readonly number[]>();
  await reader.visitAll((partition, offset, first, second) => visited.set(offset, [partition, first, second]));
  expect(visited.size).toBe(CLAIMS);
  for (const [offset, words] of visited) {
    const bytes = identity(offset);
    expect(words).toEqual([0, bytes.readUInt32LE(0), bytes.readUInt32LE(4)]);
  }
  await reader.close();
  expect(await contents(changed)).toEqual(before);
});

test("a damaged block is found when claims are visited", async () => {
  const changed = await copy("block");
  const run = join(changed, (await readdir(changed)).find((name) => name.startsWith("run")) ?? "");
  const bytes = await readFile(run);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  await writeFile(run, bytes);
  const reader = await openClaimsReader(changed);
  await expect(reader.visitAll(() => undefined)).rejects.toThrow(/block 0 does not match its checksum/);
  await reader.close();
});

test.each([
  ["manifest", "it is missing"],
  ["run", "it cannot be opened"],
  ["journal", "it cannot be opened"],
])("without its %s the index is damaged, and none is made", async (kind, what) => {
  const changed = await copy(`no-${kind}`);
  const name = (await readdir(changed)).find((each) => each.startsWith(kind)) ?? "";
  await rm(join(changed, name));
  await expect(openClaimsReader(changed)).rejects.toThrow(what);
  expect(await readdir(changed)).not.toContain(name);
});

test("a journal cut within its first frame, and a directory that is not there, are damage", async () => {
  const changed = await copy("cut");
  const name = (await readdir(changed)).find((each) => each.startsWith("journal")) ?? "";
  await truncate(join(changed, name), 16);
  await expect(openClaimsReader(changed)).rejects.toThrow("its first frame does not match its checksum");
  await expect(openClaimsReader(join(root, "gone"))).rejects.toThrow(/manifest is damaged: it is missing/);
  expect(await readdir(root)).not.toContain("gone");
});
