/**
 * Backup and restore of a data directory with a real log; what the engines put into theirs is opaque here. The whole product
 * under traffic is in `server/test/e2e/backup.test.ts`.
 */

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FileLog, openEmbeddedLog } from "../../engines/event-log/index.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { type BackupReport, takeBackup } from "./backup.ts";
import { withImageOfServer } from "./control-client.ts";
import { ControlServer } from "./control-server.ts";
import { BackupError, gather, listTree, messageOf } from "./files.ts";
import { imageOfRunning, imagePath } from "./image.ts";
import type { RunningParts } from "./image.ts";
import { readManifest, writeManifest } from "./manifest.ts";
import { restoreBackup, type RestoreReport } from "./restore.ts";
import { checkRestored, markFinished, refuseUnfinishedRestore } from "./restore-mark.ts";

const PART = "store/0a1/0a1b/all_1_1_0";
const never = new AbortController().signal;

let root: string;
let data: string;
let target: string;
let closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-backup-"));
  data = join(root, "data");
  target = join(root, "backup");
  closing = [];
  const files = {
    "state/postgres/base/1": "table",
    "claims/run-00000001": "run",
    "claims/journal-00000002": "journal",
    "claims/manifest": "manifest",
    "events/metadata/tallystick.sql": "attach",
    [`events/${PART}/data.bin`]: "rows",
    [`events/${PART}/checksums.txt`]: "sums",
    "events/store/0a1/0a1b/deduplication_logs/deduplication_log_1.txt": "tokens",
    "events/shadow/increment.txt": "3",
    "events/status": "pid",
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(data, path)), { recursive: true });
    await writeFile(join(data, path), text);
  }
  await mkdir(join(data, "state/postgres/pg_notify"));
  const log = await openLog(data);
  await append(log, 40);
  await log.close();
});
afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  await rm(root, { recursive: true, force: true });
});

async function openLog(dataDirectory: string): Promise<FileLog> {
  const directory = join(dataDirectory, "log");
  return await openEmbeddedLog({ directory, segmentBytes: 1000, report: (report) => expect.fail(report.kind) });
}

async function append(log: FileLog, records: number): Promise<void> {
  for (let n = 0; n < records; n += 1) {
    const end = log.end(0);
    await log.append({ count: 1, ingestedAt: instantFromMicros(end + 1), payload: Buffer.from(`event ${end}`) });
  }
}

async function eventsIn(log: FileLog): Promise<readonly string[]> {
  const records = await log.read(0, 0, { events: 1_000_000, bytes: 1 << 30 });
  return records.map(({ payload }) => Buffer.from(payload).toString());
}

function backUp(to = target, from = data): Promise<BackupReport> {
  const common = { hasPostgres: false, productVersion: "1.2.3", signal: never };
  return takeBackup({ ...common, dataDirectory: from, target: to });
}

function restore(to: string): Promise<RestoreReport> {
  return restoreBackup({ source: target, dataDirectory: join(root, to), signal: never });
}

/** Every file below a directory with its bytes, and every directory. */
async function contents(directory: string): Promise<Readonly<Record<string, string>>> {
  const { directories, files } = await listTree(directory);
  const found: Record<string, string> = Object.fromEntries(directories.map((path) => [`${path}/`, ""]));
  for (const path of files) found[path] = await readFile(join(directory, path), "latin1");
  return found;
}

async function changeManifest(change: (text: string) => string): Promise<void> {
  const path = join(target, "manifest.json");
  await writeFile(path, change(await readFile(path, "utf8")));
}

describe("of a stopped server", () => {
  test("comes back as it was; what an engine writes again is a copy", async () => {
    const before = await contents(data);
    const report = await backUp();
    expect(report).toMatchObject({ isOnline: false, state: "embedded", storedUpTo: null, logEnd: 40 });
    expect(await contents(data)).toEqual({ ...before, "log/lock.owner": `${process.pid}\n` });
    const restored = join(root, "restored");
    await restore("restored");
    const { "log/lock": lock, "log/lock.owner": owner, ...rest } = before;
    expect([lock, owner]).not.toContain(undefined);
    const expected = Object.entries(rest).filter(([path]) => !/^events\/(?:shadow\/.|status)/u.test(path));
    const { "restored.json": mark, ...found } = await contents(restored);
    expect(JSON.parse(mark ?? "")).toEqual({ kind: "finished", state: "embedded", storedUpTo: null, logEnd: 40 });
    expect(found).toEqual(Object.fromEntries(expected));

    for (const linked of [`events/${PART}/data.bin`, "claims/run-00000001"]) {
      expect((await stat(join(target, linked))).ino).toBe((await stat(join(data, linked))).ino);
    }
    for (const copied of [`events/${PART}/checksums.txt`, "claims/journal-00000002", "state/postgres/base/1"]) {
      expect((await stat(join(target, copied))).ino).not.toBe((await stat(join(data, copied))).ino);
    }
    for (const path of Object.keys(found)) {
      expect((await stat(join(restored, path))).nlink === 1 || path.endsWith("/")).toBe(true);
    }
  });

  test("with PostgreSQL the state is not in it", async () => {
    const report = await takeBackup({
      dataDirectory: data,
      target,
      hasPostgres: true,
      productVersion: "1",
      signal: never,
    });
    expect(report.state).toBe("postgres");
    expect(existsSync(join(target, "state"))).toBe(false);
  });

  test.each([
    ["a target that is not empty", () => root, /is not empty: name a new directory/],
    ["a target that is a file", () => join(data, "claims/../../file"), /is not empty/],
    ["a target in the data directory", () => join(data, "backup"), /lies in the data directory/],
  ])("refuses %s", async (_, to, want) => {
    await writeFile(join(root, "file"), "");
    await expect(backUp(to())).rejects.toThrow(want);
    expect(existsSync(join(root, "backup"))).toBe(false);
  });

  test("refuses what is no data directory, and one that a server without an endpoint has open", async () => {
    await expect(backUp(target, root)).rejects.toThrow("is not a data directory of Tallystick");
    const log = await openLog(data);
    await expect(backUp()).rejects.toThrow(/already open for writing by process \d+\. It does not answer/);
    await log.close();
    await backUp();
  });

  test("a failure leaves nothing that looks like a backup, and no image", async () => {
    const common = { dataDirectory: data, target, hasPostgres: false, productVersion: "1" };
    const reason = new BackupError("interrupted by SIGINT");
    await expect(takeBackup({ ...common, signal: AbortSignal.abort(reason) })).rejects.toThrow("interrupted by SIGINT");
    // Longer than any file system allows, so that making it fails half-way.
    await mkdir(join(data, "state", "d".repeat(200)));
    const deep = join(root, ...Array.from({ length: 19 }, () => "d".repeat(210)));
    await expect(backUp(deep)).rejects.toThrow(/could not be written: ENAMETOOLONG/);
    expect([existsSync(target), existsSync(deep), existsSync(imagePath(data))]).toEqual([false, false, false]);
  });
});

describe("a restore refuses, before it writes anything,", () => {
  beforeEach(async () => void (await backUp()));
  afterEach(() => expect(existsSync(join(root, "restored"))).toBe(false));

  test.each(["log/00000000000000000000.log", `events/${PART}/data.bin`, "state/postgres/base/1"])(
    "a flipped bit in %s",
    async (path) => {
      const bytes = await readFile(join(target, path));
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      await writeFile(join(target, path), bytes);
      await expect(restore("restored")).rejects.toThrow(`${path} does not match its checksum. Use another backup.`);
    },
  );

  test("files that are missing or too short, and names them", async () => {
    await rm(join(target, "claims/manifest"));
    await writeFile(join(target, "claims/run-00000001"), "r");
    await expect(restore("restored")).rejects.toThrow(
      /is damaged: claims\/manifest is missing; claims\/run-00000001 has 1 bytes instead of 3\./,
    );
  });

  test("a backup without its manifest", async () => {
    await rename(join(target, "manifest.json"), join(target, "manifest.json.new"));
    await expect(restore("restored")).rejects.toThrow("is not a complete backup: it has no manifest.json");
    target = join(root, "nowhere");
    await expect(restore("restored")).rejects.toThrow("is not a complete backup");
  });

  test.each([
    ["a changed one", (text: string) => text.replace('"logEnd": 40', '"logEnd": 41')],
    ["half of one", (text: string) => text.slice(0, text.length / 2)],
    ["an empty one", () => ""],
    ["a text", () => '"text"'],
  ])("a manifest that is damaged: %s", async (_, change) => {
    await changeManifest(change);
    await expect(restore("restored")).rejects.toThrow("manifest.json is damaged");
  });

  test("a newer format, and says which version made it", async () => {
    await changeManifest((text) => text.replace('"formatVersion": 1', '"formatVersion": 2'));
    await expect(restore("restored")).rejects.toThrow(/has backup format 2, made by Tallystick 1\.2\.3/);
  });

  test("paths that lead out of the data directory", async () => {
    const { files, formatVersion, ...manifest } = await readManifest(target);
    expect(formatVersion).toBe(1);
    const [file] = files;
    await rm(join(target, "manifest.json"));
    await writeManifest(target, { ...manifest, files: [{ ...(file ?? expect.fail()), path: "../outside" }] });
    await expect(restore("restored")).rejects.toThrow("manifest.json is damaged");
  });
});

test("a restore replaces nothing, and what fails half-way is removed", async () => {
  await backUp();
  await expect(restore("data")).rejects.toThrow(/data exists and is not empty/);
  await mkdir(join(root, "empty"), { mode: 0o700 });
  await restore("empty");
  const interrupted = new AbortController();
  const options = { source: target, dataDirectory: join(root, "half"), signal: interrupted.signal };
  const restoring = restoreBackup(options);
  interrupted.abort(new BackupError("interrupted by SIGTERM"));
  await expect(restoring).rejects.toThrow("interrupted by SIGTERM");
  expect(existsSync(join(root, "half"))).toBe(false);
});

describe("the mark of a restore", () => {
  const image = { state: "postgres", storedUpTo: 20, logEnd: 40 } as const;

  test.each([
    ["the same position", { image, storedUpTo: 20 }, null],
    ["an older dump", { image, storedUpTo: -1 }, null],
    ["a newer dump", { image, storedUpTo: 21 }, /up to offset 21 as stored, .* up to offset 20 only/],
    ["a log's end instead of a position", { image: { ...image, storedUpTo: null }, storedUpTo: 39 }, null],
    ["a position after that end", { image: { ...image, storedUpTo: null }, storedUpTo: 40 }, /offset 39 only/],
    ["another kind of state store", { image: { ...image, state: "embedded" }, storedUpTo: 0 }, /without postgres\.url/],
  ] as const)("%s", async (_, given, refusal) => {
    await markFinished(data, given.image);
    await refuseUnfinishedRestore(data);
    const checked = checkRestored(data, "postgres", given.storedUpTo);
    if (refusal === null) await checked;
    else await expect(checked).rejects.toThrow(refusal);
    expect(existsSync(join(data, "restored.json"))).toBe(refusal !== null);
  });

  test("an unfinished restore is refused, no restore is fine", async () => {
    await refuseUnfinishedRestore(data);
    await checkRestored(data, "embedded", 1000);
    await writeFile(join(data, "restored.json"), '{"kind":"unfinished"}');
    await expect(refuseUnfinishedRestore(data)).rejects.toThrow("did not finish: delete the directory");
  });
});

describe("of a running server", () => {
  let log: FileLog;
  let parts: RunningParts;
  let held: string[];

  beforeEach(async () => {
    log = await openLog(data);
    closing.push(() => log.close());
    held = [];
    parts = {
      log,
      snapshotEvents: (into) => gather({ sealed: [join(data, "events", PART, "data.bin")], growing: [] }, into),
      copyState: (into) => gather({ sealed: [], growing: [join(data, "state/postgres/base/1")] }, into),
      whileSinkRests: async (claimsInto, work) => {
        await gather({ sealed: [join(data, "claims/run-00000001")], growing: [] }, claimsInto);
        return await work();
      },
      storedUpTo: () => 30,
      holds: [hold("first"), hold("second")],
    };
  });

  const hold = (name: string) => async (): Promise<() => void> => {
    held.push(`hold ${name}`);
    return () => void held.push(`release ${name}`);
  };

  async function startControl(with_: Partial<RunningParts> = {}): Promise<ControlServer> {
    const logger = pino({ level: "silent" });
    const control = new ControlServer({ dataDirectory: data, parts: { ...parts, ...with_ }, logger });
    await control.start();
    closing.push(() => control.stop());
    return control;
  }

  test("the image's log is whole up to its end while events arrive and old ones are forgotten", async () => {
    const done = new AbortController();
    const appending = (async () => {
      while (!done.signal.aborted) await append(log, 1);
    })();
    const info = await imageOfRunning(data, {
      ...parts,
      snapshotEvents: async (into) => {
        await log.waitFor(0, 70, never);
        await mkdir(into);
      },
    });
    done.abort();
    await appending;
    expect(info).toMatchObject({ state: "embedded", storedUpTo: 30 });
    expect(info.logEnd).toBeGreaterThan(70);
    expect(held).toEqual(["hold first", "hold second", "release second", "release first"]);
    await append(log, 30);
    await log.trim(0, log.end(0));
    const copy = await openLog(imagePath(data));
    expect(await eventsIn(copy)).toEqual(Array.from({ length: info.logEnd }, (_, n) => `event ${n}`));
    await copy.close();
  });

  test("nothing is forgotten while the log's files are in use", async () => {
    const trimmed = await log.withFiles(async ({ sealed }) => {
      const trimming = log.trim(0, log.end(0));
      for (const path of sealed) expect((await stat(path)).size).toBeGreaterThan(0);
      expect(sealed.length).toBeGreaterThan(0);
      return { trimming, sealed };
    });
    await trimmed.trimming;
    expect(trimmed.sealed.map((path) => existsSync(path))).not.toContain(true);
  });

  test("a backup through the endpoint, one at a time; afterwards no image is left", async () => {
    await startControl();
    await withImageOfServer(data, never, async (info) => {
      expect(info.logEnd).toBe(40);
      expect(await readdir(imagePath(data))).toEqual(["claims", "events", "log", "state"]);
      await expect(backUp()).rejects.toThrow("another backup of this data directory is being taken");
    });
    expect(existsSync(imagePath(data))).toBe(false);
    expect(await backUp()).toMatchObject({ isOnline: true, storedUpTo: 30, logEnd: 40 });
    expect(existsSync(imagePath(data))).toBe(false);
    expect((await stat(target)).mode & 0o777).toBe(0o700);
  });

  test("an image that cannot be made: says why, rests nothing for ever, and the next one works", async () => {
    let failures = 1;
    const snapshotEvents = async (into: string): Promise<void> => {
      if (failures-- > 0) throw new Error("no space left on device");
      await parts.snapshotEvents(into);
    };
    await startControl({ snapshotEvents });
    await expect(backUp()).rejects.toThrow("the server could not take a backup: no space left on device");
    expect([existsSync(target), existsSync(imagePath(data))]).toEqual([false, false]);
    expect(held.filter((each) => each.startsWith("release"))).toHaveLength(2);
    await backUp();
  });

  test("a server that stops takes its image away, and the backup fails", async () => {
    const control = await startControl();
    const outcome = await withImageOfServer(data, never, async (_, signal) => {
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      await control.stop();
      await aborted;
      return messageOf(signal.reason);
    });
    expect(outcome).toBe("the server ended before the backup was complete");
    expect([existsSync(imagePath(data)), existsSync(join(data, "control.json"))]).toEqual([false, false]);
  });

  test("a left-over of a killed server: no server is found, the next one clears up", async () => {
    const gone = await mkdtemp(join(tmpdir(), "tallystick-control-"));
    const other = await mkdtemp(join(root, "other-"));
    await mkdir(join(imagePath(data), "log"), { recursive: true });
    for (const directory of [other, gone]) {
      await writeFile(join(data, "control.json"), JSON.stringify({ socket: join(directory, "control.sock") }));
      expect(await withImageOfServer(data, never, async () => "called")).toBeNull();
      await (await startControl()).stop();
    }
    expect([existsSync(gone), existsSync(other), existsSync(imagePath(data))]).toEqual([false, true, false]);
  });

  test("only its owner may use the endpoint", async () => {
    await startControl();
    const { socket }: { socket: string } = JSON.parse(await readFile(join(data, "control.json"), "utf8"));
    expect((await stat(dirname(socket))).mode & 0o777).toBe(0o700);
    expect((await stat(join(data, "control.json"))).mode & 0o777).toBe(0o600);
  });
});
