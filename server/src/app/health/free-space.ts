/**
 * How much room the disk of the event log has, looked at once a second, and whether that is too little.
 *
 * Events are refused before the disk is full, because what was accepted still needs room: the sink writes rows, the event
 * store merges them, the state store writes its own log, and a PostgreSQL without room for that stops.
 *
 * Invariant: the answer costs nothing, because it was found before; a disk that cannot be looked at changes no answer.
 */

import { statfs } from "node:fs/promises";

const MAX_DEFAULT_RESERVE_BYTES = 256 * 1024 * 1024;
/** Of the file system, as the default on small ones. */
const DEFAULT_RESERVE_SHARE = 0.01;
/** So much more than the reserve must be free before events are accepted again, or every few of them would end it. */
const RETURN_SHARE = 1.125;

/** What is known of the disk. */
export interface Room {
  /** What this process may still write, in bytes. */
  readonly freeBytes: number;
  readonly reserveBytes: number;
  /** Accepting ended below the reserve, and begins again clearly above it. */
  readonly isShort: boolean;
}

/** The room that `free` bytes on a file system of `total` bytes are, after `before`. */
export function roomOf(free: number, total: number, minFreeBytes: number | undefined, before: Room | null): Room {
  const reserveBytes = minFreeBytes ?? Math.min(MAX_DEFAULT_RESERVE_BYTES, Math.floor(total * DEFAULT_RESERVE_SHARE));
  const neededBytes = before?.isShort === true ? reserveBytes * RETURN_SHARE : reserveBytes;
  return { freeBytes: free, reserveBytes, isShort: free < neededBytes };
}

/** Keeps a `Room` up to date. */
export class FreeSpace {
  readonly #directory: string;
  readonly #minFreeBytes: number | undefined;
  #room: Room | null = null;

  /** `directory` is on the disk; without `minFreeBytes` the reserve is 256 MiB or 1 % of the disk, whichever is smaller. */
  constructor(directory: string, minFreeBytes: number | undefined) {
    this.#directory = directory;
    this.#minFreeBytes = minFreeBytes;
  }

  /** Null until the disk was looked at for the first time. */
  get room(): Room | null {
    return this.#room;
  }

  /** Looks at the disk; rejects when the system does not tell. */
  async look(): Promise<void> {
    const { bsize, bavail, blocks } = await statfs(this.#directory);
    this.#room = roomOf(bavail * bsize, blocks * bsize, this.#minFreeBytes, this.#room);
  }
}
