/**
 * A disk in memory for tests: it fills up, fails to sync and loses power the way real ones do.
 *
 * Bytes live twice, in the cache and on the platter. A sync moves what changed; a power cut keeps an arbitrary part of
 * what had changed, sector by sector, and an arbitrary prefix of the unsynced directory changes. A failed sync forgets
 * what changed while the cache still shows it, as Linux does.
 */

import type { LogFile, LogFiles } from "./files.ts";

const SECTOR_BYTES = 512;

interface Inode {
  cache: Buffer;
  platter: Buffer;
  readonly changed: Set<number>;
}

interface DirectoryChange {
  readonly path: string;
  readonly inode: Inode | undefined;
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}

function resized(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.alloc(length);
  bytes.copy(copy);
  return copy;
}

function copySector(from: Buffer, to: Buffer, sector: number): void {
  const start = sector * SECTOR_BYTES;
  to.set(from.subarray(start, Math.min(start + SECTOR_BYTES, to.length)), Math.min(start, to.length));
}

function markChanged(inode: Inode, from: number, to: number): void {
  for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector += 1) inode.changed.add(sector);
}

export class SimulatedDisk implements LogFiles {
  /** How many bytes all files may have together. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Operations that fail from now on, with `EIO`. */
  failing: "nothing" | "sync" | "directory sync" | "truncate" = "nothing";
  /** After so many changing operations the power fails. */
  operationsUntilPowerCut = Number.POSITIVE_INFINITY;
  readonly #random: () => number;
  #names = new Map<string, Inode>();
  #syncedNames = new Map<string, Inode>();
  #changes: (readonly DirectoryChange[])[] = [];
  #locked = new Set<string>();
  #generation = 0;

  constructor(random: () => number = () => 0) {
    this.#random = random;
  }

  /** The file's bytes as a process sees them. */
  bytesOf(path: string): Buffer {
    return Buffer.from(this.#inode(path).cache);
  }

  /** Puts a file on the disk, durably. */
  put(path: string, bytes: Uint8Array): void {
    const inode = { cache: Buffer.from(bytes), platter: Buffer.from(bytes), changed: new Set<number>() };
    this.#names.set(path, inode);
    this.#syncedNames.set(path, inode);
  }

  delete(path: string): void {
    this.#names.delete(path);
    this.#syncedNames.delete(path);
  }

  paths(): string[] {
    return [...this.#names.keys()].toSorted();
  }

  /** Ends the process: locks go, open files become useless, the cache stays. */
  killProcess(): void {
    this.#generation += 1;
    this.#locked = new Set();
    this.operationsUntilPowerCut = Number.POSITIVE_INFINITY;
  }

  /** Ends everything: of what was not synced, an arbitrary part survives. */
  cutPower(): void {
    this.killProcess();
    const names = new Map(this.#syncedNames);
    const survivors = Math.floor(this.#random() * (this.#changes.length + 1));
    for (const change of this.#changes.slice(0, survivors)) applyChange(names, change);
    this.#changes = [];
    for (const inode of new Set(names.values())) this.#loseCache(inode);
    this.#names = names;
    this.#syncedNames = new Map(names);
  }

  #loseCache(inode: Inode): void {
    const sectors = [...inode.changed].filter(() => this.#random() < 0.5);
    const [low, high] = [inode.platter.length, inode.cache.length];
    // The length is data of its own: it may be the old one, the new one, or anything between.
    const share = Math.min(1, Math.max(0, this.#random() * 3 - 1));
    const kept = resized(inode.platter, Math.round(low + (high - low) * share));
    for (const sector of sectors) copySector(inode.cache, kept, sector);
    inode.platter = kept;
    inode.cache = Buffer.from(kept);
    inode.changed.clear();
  }

  async lock(directory: string): Promise<() => Promise<void>> {
    if (this.#locked.has(directory)) throw failure("ELOCKED");
    this.#locked.add(directory);
    return async () => {
      this.#locked.delete(directory);
    };
  }

  async makeDirectory(): Promise<void> {}

  async list(directory: string): Promise<readonly string[]> {
    return [...this.#names.keys()]
      .filter((path) => path.startsWith(`${directory}/`))
      .map((path) => path.slice(directory.length + 1));
  }

  async open(path: string, mode: "read" | "write" | "create"): Promise<LogFile> {
    if (mode === "create") {
      this.#step();
      this.#change([{ path, inode: { cache: Buffer.alloc(0), platter: Buffer.alloc(0), changed: new Set() } }]);
    }
    return this.#fileOf(this.#inode(path));
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step();
    this.#change([
      { path: to, inode: this.#inode(from) },
      { path: from, inode: undefined },
    ]);
  }

  async remove(path: string): Promise<void> {
    this.#step();
    this.#change([{ path, inode: undefined }]);
  }

  async syncDirectory(): Promise<void> {
    this.#step();
    if (this.failing === "directory sync") throw failure("EIO");
    this.#syncedNames = new Map(this.#names);
    this.#changes = [];
  }

  #change(change: readonly DirectoryChange[]): void {
    applyChange(this.#names, change);
    this.#changes.push(change);
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw failure("ENOENT");
    return inode;
  }

  #step(): void {
    this.operationsUntilPowerCut -= 1;
    if (this.operationsUntilPowerCut > 0) return;
    this.cutPower();
    throw failure("EPOWER");
  }

  #usedBytes(): number {
    return [...this.#names.values()].reduce((sum, { cache }) => sum + cache.length, 0);
  }

  #fileOf(inode: Inode): LogFile {
    const generation = this.#generation;
    const alive = (): void => {
      if (generation !== this.#generation) throw failure("EPOWER");
    };
    return {
      read: async (into, position) => {
        alive();
        return position >= inode.cache.length ? 0 : inode.cache.copy(into, 0, position);
      },
      write: async (bytes, position) => {
        alive();
        const room = this.capacityBytes - this.#usedBytes() + Math.max(0, inode.cache.length - position);
        const count = Math.min(bytes.length, room);
        if (count <= 0) throw failure("ENOSPC");
        if (position + count > inode.cache.length) inode.cache = resized(inode.cache, position + count);
        bytes.copy(inode.cache, position, 0, count);
        markChanged(inode, position, position + count);
        this.#step();
        return count;
      },
      truncate: async (length) => {
        alive();
        if (this.failing === "truncate") throw failure("EROFS");
        markChanged(inode, length, inode.cache.length);
        inode.cache = resized(inode.cache, length);
        this.#step();
      },
      datasync: async () => {
        alive();
        this.#step();
        if (this.failing === "sync") {
          inode.changed.clear();
          throw failure("EIO");
        }
        const platter = resized(inode.platter, inode.cache.length);
        for (const sector of inode.changed) copySector(inode.cache, platter, sector);
        inode.platter = platter;
        inode.changed.clear();
      },
      size: async () => {
        alive();
        return inode.cache.length;
      },
      close: async () => undefined,
    };
  }
}

function applyChange(names: Map<string, Inode>, change: readonly DirectoryChange[]): void {
  for (const { path, inode } of change) {
    if (inode === undefined) names.delete(path);
    else names.set(path, inode);
  }
}
