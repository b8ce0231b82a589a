/**
 * The engine's runtime directory: a private place for its socket and the rows of running inserts, in the system's temporary
 * directory because the path of a socket may have 107 bytes only.
 *
 * A process that is killed together with its engine leaves its directory behind, with up to a batch of rows in it, so each
 * start removes those of the dead.
 *
 * Invariant: only what a `makeRuntimeDirectory` of this user made is removed, and only when the process in its name is gone
 * and nobody listens on its socket. The second matters to containers that share a temporary directory: they do not see each
 * other's processes, but can connect to each other's sockets.
 */

import { lstat, mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SOCKET_NAME } from "./process-protocol.ts";

const PREFIX = "tallystick-engine-";
const NAME = /^tallystick-engine-([1-9][0-9]*)-[A-Za-z0-9]{6}$/;
/** An engine under load may be slow to take a connection; the system takes it at once on its behalf. */
const CONNECT_MS = 1_000;

/** Makes a directory that only this user can enter. */
export async function makeRuntimeDirectory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
}

/** Removes what engines of dead processes left behind. What cannot be looked at or removed stays. */
export async function removeStaleRuntimeDirectories(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => []);
  for (const name of names) {
    const owner = NAME.exec(name)?.[1];
    if (owner === undefined || isRunning(Number(owner))) continue;
    const directory = join(tmpdir(), name);
    try {
      if ((await isOwn(directory)) && !(await hasListener(join(directory, SOCKET_NAME)))) {
        await rm(directory, { recursive: true, force: true });
      }
    } catch {
      // Somebody else removed it meanwhile, or the system does not let us: it is not worth a start.
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not allowed to signal it means that it is there.
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

async function isOwn(path: string): Promise<boolean> {
  const found = await lstat(path);
  return found.isDirectory() && found.uid === process.getuid?.();
}

/** Whether a process listens on the socket; also when that cannot be found out. */
async function hasListener(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    const answer = (isListening: boolean): void => {
      socket.destroy();
      resolve(isListening);
    };
    socket.setTimeout(CONNECT_MS, () => answer(true));
    socket.once("connect", () => answer(true));
    socket.once("error", (error) => {
      answer(!("code" in error && (error.code === "ENOENT" || error.code === "ECONNREFUSED")));
    });
  });
}
