/**
 * A small disk of its own for tests that fill or break it: a file system in memory, or an ext4 in a file. Mounting needs
 * root, which development machines and CI have; without it, `mountSmallDisk` says why there is no disk.
 *
 * Invariant: `remove` leaves nothing mounted and no file behind, even if a process still uses the disk.
 */

import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdir, mkdtemp, open, readFile, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const UNMOUNT_MS = 10_000;
const POLL_MS = 20;
const FILL_CHUNK = Buffer.alloc(256 * 1024, 1);

export type DiskKind = "memory" | "ext4";

export class SmallDisk {
  /** Where it is mounted. */
  readonly path: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.path = join(root, "disk");
  }

  async freeBytes(): Promise<number> {
    const { bsize, bavail } = await statfs(this.path);
    return bsize * bavail;
  }

  /** Fills the disk with a file until at most `leaveBytes` are free, or to the last byte that it takes. */
  async fill(leaveBytes: number): Promise<void> {
    const file = await open(this.#filler, "a");
    try {
      for (let room = await this.freeBytes(); room > leaveBytes; room = await this.freeBytes()) {
        const { bytesWritten } = await file.write(FILL_CHUNK, 0, Math.min(FILL_CHUNK.length, room - leaveBytes));
        if (bytesWritten === 0) break;
      }
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    } finally {
      await file.close();
    }
  }

  /** Takes the filling file away. */
  async empty(): Promise<void> {
    await rm(this.#filler, { force: true });
  }

  /** Forces everything that was written to the disk. */
  async flush(): Promise<void> {
    await run("sync", ["-f", this.path]);
  }

  /** Makes an ext4 take itself for damaged and become read-only, as it does when its device fails; false if it cannot. */
  async breakDown(): Promise<boolean> {
    const device = basename((await run("findmnt", ["-n", "-o", "SOURCE", this.path])).stdout.trim());
    return await writeFile(`/sys/fs/ext4/${device}/trigger_fs_error`, "1").then(
      () => true,
      () => false,
    );
  }

  /** Mounts the disk again, repaired if need be. Nobody uses it. */
  async mountAgain(...options: readonly string[]): Promise<void> {
    await this.#unmount();
    // Exit code 1 says that it has repaired something.
    await run("fsck.ext4", ["-p", "-f", this.#image]).catch((error: { code?: unknown }) => {
      if (error.code !== 1) throw error;
    });
    await this.mountImage(...options);
  }

  async mountImage(...options: readonly string[]): Promise<void> {
    await run("mount", [
      "-t",
      "ext4",
      "-o",
      ["loop", "errors=remount-ro", ...options].join(","),
      this.#image,
      this.path,
    ]);
  }

  async mountMemory(bytes: number): Promise<void> {
    await run("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=0700`, "tallystick-test", this.path]);
  }

  async makeImage(bytes: number): Promise<void> {
    await writeFile(this.#image, "");
    await truncate(this.#image, bytes);
    await run("mkfs.ext4", ["-q", "-F", this.#image]);
  }

  async remove(): Promise<void> {
    await this.#unmount().catch(async () => await run("umount", ["-l", this.path]).catch(() => undefined));
    // A disk that is still mounted must keep the test from deleting what is on it one by one, and from passing.
    if ((await readFile("/proc/mounts", "utf8")).includes(this.path)) throw new Error(`${this.path} is still mounted`);
    await rm(this.#root, { recursive: true, force: true });
  }

  /** What a killed process has open is closed only when its engine has noticed. */
  async #unmount(): Promise<void> {
    const deadlineMs = performance.now() + UNMOUNT_MS;
    for (;;) {
      try {
        await run("umount", [this.path]);
        return;
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
        await delay(POLL_MS);
      }
    }
  }

  get #filler(): string {
    return join(this.path, "filler");
  }

  get #image(): string {
    return join(this.#root, "image");
  }
}

/** Makes and mounts a disk; the reason as text when this machine does not allow it. */
export async function mountSmallDisk(kind: DiskKind, bytes: number): Promise<SmallDisk | string> {
  const root = await mkdtemp(join(tmpdir(), "tallystick-disk-"));
  const disk = new SmallDisk(root);
  try {
    await access("/proc/mounts", constants.R_OK);
    await mkdir(disk.path);
    if (kind === "memory") {
      await disk.mountMemory(bytes);
    } else {
      await disk.makeImage(bytes);
      await disk.mountImage();
    }
    return disk;
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    return `no ${kind} disk can be mounted here: ${error instanceof Error ? error.message.trim() : String(error)}`;
  }
}
