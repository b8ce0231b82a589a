import { createHash } from "node:crypto";
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answersOf, claimsConformance, identityOf, requestOf } from "./conformance.ts";
import type { ClaimRow } from "./conformance.ts";
import { fileName } from "./embedded/file.ts";
import type { Manifest } from "./embedded/manifest.ts";
import { DamagedClaims, openClaimsReader, openEmbeddedClaims } from "./index.ts";
import type { Claims } from "./index.ts";

/** So small that writing runs and merging them happens all the time. */
const TINY = { tableCapacity: 16, fanout: 2 };

let root = "";
let places = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "claims-"));
});
afterAll(async () => rm(root, { recursive: true }));

function newDirectory(): string {
  places++;
  return join(root, `directory-${places}`);
}

function row(id: number, offset: number): ClaimRow {
  return { identity: identityOf("default", "svc", String(id)), offset, payload: id };
}

function rows(from: number, to: number): ClaimRow[] {
  return Array.from({ length: to - from }, (_, index) => row(from + index, from + index));
}

/** Claims `from .. to - 1`, each identity at the offset of its number. */
async function fill(claims: Claims, from: number, to: number): Promise<void> {
  await claims.claim(requestOf(0, rows(from, to)));
}

/** Which of the identities `0 .. count - 1` are claimed at the offset of their number, asked with a foreign position. */
async function knownOf(claims: Claims, count: number): Promise<number[]> {
  const { partitions, offsets } = await claims.claim(requestOf(9, rows(0, count)));
  return rows(0, count).flatMap((_, index) => (partitions[index] === 0 && offsets[index] === index ? [index] : []));
}

async function filesOf(directory: string, kind: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.startsWith(kind)).toSorted();
}

/** What the manifest says, without a look at its checksum. */
async function manifestOf(directory: string): Promise<Manifest> {
  const [, body = ""] = (await readFile(join(directory, "manifest"), "utf8")).split("\n");
  return JSON.parse(body);
}

async function flipByte(path: string, position: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

claimsConformance("embedded", (place) => openEmbeddedClaims({ directory: join(root, place) }));
claimsConformance("embedded, tiny runs", (place) => openEmbeddedClaims({ directory: join(root, place), ...TINY }));

describe("embedded claims", () => {
  test("their files, copied amid claims and merges, are an index with all claims answered before", async () => {
    const claims = await openEmbeddedClaims({ directory: newDirectory(), ...TINY });
    const copy = newDirectory();
    await fill(claims, 0, 100);
    const later = fill(claims, 100, 200);
    await claims.withFiles(async ({ sealed, growing }) => {
      await mkdir(copy);
      expect(sealed.length).toBeGreaterThan(0);
      for (const path of [...sealed, ...growing]) await copyFile(path, join(copy, basename(path)));
    });
    await Promise.all([later, fill(claims, 200, 300)]);
    const reason = new Error("the copy failed");
    await expect(claims.withFiles(() => Promise.reject(reason))).rejects.toBe(reason);
    expect(await claims.count()).toBe(300);
    await claims.close();
    const copied = await openEmbeddedClaims({ directory: copy, ...TINY });
    expect(await copied.count()).toBe(200);
    expect(await knownOf(copied, 200)).toHaveLength(200);
    await copied.close();
  });

  test("hold the claims of a full table whose run is not written yet, in its journal", async () => {
    const claims = await openEmbeddedClaims({ directory: newDirectory(), ...TINY });
    await fill(claims, 0, 16);
    const copy = newDirectory();
    await mkdir(copy);
    const more = fill(claims, 16, 20);
    await claims.withFiles(async ({ sealed, growing }) => {
      for (const path of [...sealed, ...growing]) await copyFile(path, join(copy, basename(path)));
    });
    await more;
    await claims.close();
    expect(await filesOf(copy, "run")).toEqual([]);
    expect(await filesOf(copy, "journal")).toHaveLength(2);
    const reader = await openClaimsReader(copy);
    expect([reader.count, reader.files]).toEqual([20, 3]);
    expect([...(await reader.find(requestOf(0, rows(0, 21)).identities))]).toEqual([...Array(20).keys(), -1]);
    await reader.close();
    await (await openEmbeddedClaims({ directory: copy, ...TINY })).close();
    expect(await filesOf(copy, "run")).toHaveLength(1);
    expect(await filesOf(copy, "journal")).toHaveLength(1);
    const copied = await openEmbeddedClaims({ directory: copy, ...TINY });
    expect(await copied.count()).toBe(20);
    expect(await knownOf(copied, 20)).toHaveLength(20);
    await copied.close();
  });

  test("open what versions wrote that kept claims waiting while a table was written", async () => {
    const directory = newDirectory();
    const claims = await openEmbeddedClaims({ directory, ...TINY });
    await fill(claims, 0, 100);
    await claims.close();
    const { fullJournal, ...manifest } = await manifestOf(directory);
    expect(fullJournal).toBeNull();
    const body = JSON.stringify({ ...manifest, format: 1 });
    await writeFile(join(directory, "manifest"), `${crc32(body).toString(16).padStart(8, "0")}\n${body}\n`);
    const again = await openEmbeddedClaims({ directory, ...TINY });
    expect(await knownOf(again, 100)).toHaveLength(100);
    await again.close();
    const unknown = JSON.stringify({ ...manifest, format: 3 });
    await writeFile(join(directory, "manifest"), `${crc32(unknown).toString(16).padStart(8, "0")}\n${unknown}\n`);
    await expect(openEmbeddedClaims({ directory })).rejects.toThrow(
      "its format is 3, which this version does not know",
    );
  });

  test("agree with a map, whatever is claimed and however often they are re-opened", { timeout: 60_000 }, async () => {
    const batch = fc.record({
      partition: fc.integer({ min: 0, max: 3 }),
      ids: fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }),
      reopen: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { maxLength: 25 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 2, max: 4 }),
        async (batches, tableCapacity, fanout) => {
          const options = { directory: newDirectory(), tableCapacity, fanout };
          const model = new Map<number, string>();
          let offset = 0;
          let claims = await openEmbeddedClaims(options);
          for (const { partition, ids, reopen } of batches) {
            const asked = ids.map((id) => row(id, offset++));
            for (const each of asked) {
              if (!model.has(each.payload)) model.set(each.payload, `${partition}/${each.offset} ${each.payload}`);
            }
            const answers = answersOf(await claims.claim(requestOf(partition, asked)));
            expect(answers).toEqual(ids.map((id) => model.get(id)));
            if (reopen) {
              await claims.close();
              claims = await openEmbeddedClaims(options);
            }
            expect(await claims.count()).toBe(model.size);
          }
          await claims.close();
          await rm(options.directory, { recursive: true });
        },
      ),
      { numRuns: 60 },
    );
  });

  test("merge in a thread while claims go on, and keep few runs", async () => {
    const directory = newDirectory();
    const options = { directory, tableCapacity: 512, fanout: 4, threadedMergeEntries: 1024 };
    const claims = await openEmbeddedClaims(options);
    for (let from = 0; from < 16_384; from += 512) await fill(claims, from, from + 512);
    expect(await knownOf(claims, 16_384)).toHaveLength(16_384);
    // 32 tables were written; without merging there would be as many runs.
    await expect.poll(async () => (await filesOf(directory, "run")).length).toBeLessThan(12);
    await claims.close();
    const again = await openEmbeddedClaims(options);
    expect(await knownOf(again, 16_384)).toHaveLength(16_384);
    expect(await again.count()).toBe(16_384);
    await again.close();
  });

  test("keep keys apart that share their first 8 bytes, and order many of them", async () => {
    const directory = newDirectory();
    const claims = await openEmbeddedClaims({ directory, tableCapacity: 600, fanout: 2 });
    const alike = Array.from({ length: 3000 }, (_, index) => {
      const identity = createHash("sha256").update(String(index)).digest();
      identity.fill(index % 3, 0, 8);
      return { identity, offset: index, payload: index };
    });
    for (let from = 0; from < 3000; from += 300) await claims.claim(requestOf(0, alike.slice(from, from + 300)));
    const { partitions, offsets } = await claims.claim(requestOf(1, alike));
    expect(partitions.every((partition) => partition === 0)).toBe(true);
    expect([...offsets]).toEqual(alike.map((each) => each.offset));
    await claims.close();
  });

  test("accept columns anywhere in memory", async () => {
    const claims = await openEmbeddedClaims({ directory: newDirectory() });
    const request = requestOf(0, rows(0, 3));
    const shifted = (bytes: Uint8Array): Uint8Array => {
      const memory = Buffer.alloc(bytes.length + 1);
      memory.set(bytes, 1);
      return memory.subarray(1);
    };
    await claims.claim({
      ...request,
      identities: shifted(request.identities),
      fingerprints: shifted(request.fingerprints),
    });
    expect(await knownOf(claims, 3)).toEqual([0, 1, 2]);
    await claims.close();
  });

  test("remove what a crash left behind and nothing else", async () => {
    const directory = newDirectory();
    const claims = await openEmbeddedClaims({ directory, ...TINY });
    await fill(claims, 0, 100);
    await claims.close();
    for (const name of ["run-00009999", "journal-00009999", "manifest.new", "notes.txt"]) {
      await writeFile(join(directory, name), "left over");
    }
    const again = await openEmbeddedClaims({ directory, ...TINY });
    expect(await knownOf(again, 100)).toHaveLength(100);
    await again.close();
    const names = await readdir(directory);
    expect(names).toContain("notes.txt");
    expect(names).not.toContain("run-00009999");
    expect(names).not.toContain("journal-00009999");
    expect(names).not.toContain("manifest.new");
  });

  test("start afresh when a crash interrupted the very first open", async () => {
    const directory = newDirectory();
    await mkdir(directory);
    await writeFile(join(directory, "journal-00000001"), "TLY");
    const claims = await openEmbeddedClaims({ directory });
    expect(await claims.count()).toBe(0);
    await claims.close();
  });

  test("answer nothing more after a write failed", async () => {
    const directory = newDirectory();
    const claims = await openEmbeddedClaims({ directory, ...TINY });
    await fill(claims, 0, 16);
    // The run of the full table cannot be written where a directory has its name.
    await mkdir(join(directory, "run-00000003"));
    await fill(claims, 16, 32);
    await expect.poll(() => fill(claims, 32, 33).catch(String)).toContain("stopped after an earlier failure");
    await claims.close();
    await rm(join(directory, "run-00000003"), { recursive: true });
    const again = await openEmbeddedClaims({ directory, ...TINY });
    expect(await knownOf(again, 32)).toHaveLength(32);
    await again.close();
  });
});

describe("damage to embedded claims", () => {
  test("a journal cut at any byte keeps every frame before the cut", async () => {
    const whole = newDirectory();
    const claims = await openEmbeddedClaims({ directory: whole, tableCapacity: 64 });
    const ends = [[32, 0]];
    for (const [from, to] of [
      [0, 1],
      [1, 3],
    ] as const) {
      await fill(claims, from, to);
      ends.push([32 + to * 32 + ends.length * 32, to]);
    }
    await claims.close();
    const size = (await readFile(join(whole, "journal-00000001"))).length;
    expect(size).toBe(ends.at(-1)?.[0]);
    for (let length = 0; length < size; length++) {
      const directory = newDirectory();
      await cp(whole, directory, { recursive: true });
      await truncate(join(directory, "journal-00000001"), length);
      if (length < 32) {
        await expect(openEmbeddedClaims({ directory, tableCapacity: 64 })).rejects.toThrow(DamagedClaims);
        continue;
      }
      const kept = Math.max(...ends.flatMap(([end = 0, count = 0]) => (end <= length ? [count] : [])));
      const cut = await openEmbeddedClaims({ directory, tableCapacity: 64 });
      expect(await cut.count()).toBe(kept);
      const end = Math.max(...ends.flatMap(([end = 0]) => (end <= length ? [end] : [])));
      expect((await readFile(join(directory, "journal-00000001"))).length).toBe(end);
      await fill(cut, 0, 3);
      await cut.close();
      const again = await openEmbeddedClaims({ directory, tableCapacity: 64 });
      expect(await knownOf(again, 3)).toEqual([0, 1, 2]);
      await again.close();
    }
  });

  test("a damaged frame before an intact one is refused, a damaged last one is cut", async () => {
    const directory = newDirectory();
    const claims = await openEmbeddedClaims({ directory });
    await fill(claims, 0, 2);
    await fill(claims, 2, 4);
    await claims.close();
    const journal = join(directory, "journal-00000001");
    await copyFile(journal, join(root, "journal-copy"));
    for (const position of [32, 44, 63, 64, 100]) {
      await flipByte(journal, position);
      await expect(openEmbeddedClaims({ directory })).rejects.toThrow(/journal-00000001 is damaged/);
      await copyFile(join(root, "journal-copy"), journal);
    }
    await flipByte(journal, 200);
    const cut = await openEmbeddedClaims({ directory });
    expect(await cut.count()).toBe(2);
    await cut.close();
  });

  test("any flipped byte of a run is detected, at open or when its block is read", async () => {
    const directory = newDirectory();
    const claims = await openEmbeddedClaims({ directory, tableCapacity: 300 });
    await fill(claims, 0, 300);
    await fill(claims, 300, 301);
    await claims.close();
    const [name = ""] = await filesOf(directory, "run");
    const path = join(directory, name);
    await copyFile(path, join(root, "run-copy"));
    const { length } = await readFile(path);
    const blocksEnd = 3 * 4096;
    const inBlocks = Array.from({ length: 24 }, (_, index) => index * 509);
    const behindBlocks = Array.from(
      { length: Math.ceil((length - blocksEnd) / 7) },
      (_, index) => blocksEnd + index * 7,
    );
    for (const position of [...inBlocks, ...behindBlocks]) {
      await flipByte(path, position);
      if (position < blocksEnd) {
        const damaged = await openEmbeddedClaims({ directory });
        await expect(fill(damaged, 0, 300)).rejects.toThrow(`block ${Math.floor(position / 4096)} does not match`);
        await expect(fill(damaged, 0, 1)).rejects.toThrow("stopped after an earlier failure");
        await damaged.close();
      } else {
        await expect(openEmbeddedClaims({ directory })).rejects.toThrow(/run-[0-9]+ is damaged.*delete the claims/);
      }
      await copyFile(join(root, "run-copy"), path);
    }
    for (const cut of [0, 4096, length - 1]) {
      await truncate(path, cut);
      await expect(openEmbeddedClaims({ directory })).rejects.toThrow(DamagedClaims);
      await copyFile(join(root, "run-copy"), path);
    }
  });

  test("a merge that reads a damaged block stops the index instead of losing claims", async () => {
    const directory = newDirectory();
    const options = { directory, tableCapacity: 300, fanout: 2 };
    const claims = await openEmbeddedClaims(options);
    await fill(claims, 0, 300);
    await fill(claims, 300, 301);
    await claims.close();
    const [name = ""] = await filesOf(directory, "run");
    await flipByte(join(directory, name), 5000);
    const damaged = await openEmbeddedClaims(options);
    await fill(damaged, 301, 600).catch(() => undefined);
    await fill(damaged, 600, 601).catch(() => undefined);
    await expect.poll(() => fill(damaged, 0, 1).catch(String)).toContain("stopped after an earlier failure");
    await damaged.close();
    expect(await filesOf(directory, "run")).toContain(name);
  });

  test("a damaged or missing manifest is refused, and so is a missing journal or run", async () => {
    const whole = newDirectory();
    const claims = await openEmbeddedClaims({ directory: whole, ...TINY });
    await fill(claims, 0, 100);
    await claims.close();
    const { journal, runs } = await manifestOf(whole);
    const names = ["manifest", fileName("journal", journal), ...runs.map(({ number }) => fileName("run", number))];
    expect(names.length).toBeGreaterThan(2);
    for (const name of names) {
      const directory = newDirectory();
      await cp(whole, directory, { recursive: true });
      await rm(join(directory, name));
      await expect(openEmbeddedClaims({ directory, ...TINY })).rejects.toThrow(`${name} is damaged`);
    }
    const onlyRun = newDirectory();
    await mkdir(onlyRun);
    await writeFile(join(onlyRun, "run-00000001"), "");
    await expect(openEmbeddedClaims({ directory: onlyRun })).rejects.toThrow("manifest is damaged: it is missing");
    const { length } = await readFile(join(whole, "manifest"));
    for (let position = 0; position < length; position++) {
      await flipByte(join(whole, "manifest"), position);
      await expect(openEmbeddedClaims({ directory: whole, ...TINY })).rejects.toThrow("manifest is damaged");
      await flipByte(join(whole, "manifest"), position);
    }
    const intact = await openEmbeddedClaims({ directory: whole, ...TINY });
    expect(await knownOf(intact, 100)).toHaveLength(100);
    await intact.close();
  });
});
