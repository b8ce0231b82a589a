/** The other end of the control endpoint: asks the running server for an image and holds it while work is done with it. */

import { connect } from "node:net";
import type { Socket } from "node:net";
import { readControlAddress } from "./control-server.ts";
import type { Answer } from "./control-server.ts";
import { BackupError, errorCode } from "./files.ts";
import type { ImageInfo } from "./image.ts";

/**
 * Calls `work` with the image of the data directory that a running server made; `signal` is aborted when that server goes
 * away, and the image with it. Resolves with null, without calling it, when no server answers.
 */
export async function withImageOfServer<T>(
  dataDirectory: string,
  stop: AbortSignal,
  work: (info: ImageInfo, signal: AbortSignal) => Promise<T>,
): Promise<T | null> {
  const address = await readControlAddress(dataDirectory);
  if (address === null) return null;
  const socket = await connected(address.socket);
  if (socket === null) return null;
  // What follows from a broken connection is done when it closes.
  socket.on("error", () => undefined);
  const gone = new AbortController();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  void closed.then(() => gone.abort(new BackupError("the server ended before the backup was complete")));
  const interrupt = (): void => void socket.destroy();
  stop.addEventListener("abort", interrupt, { once: true });
  try {
    const answer = await readAnswer(socket);
    stop.throwIfAborted();
    if (answer.kind === "failed") throw new BackupError(`the server could not take a backup: ${answer.message}`);
    return await work(answer.info, AbortSignal.any([stop, gone.signal]));
  } finally {
    stop.removeEventListener("abort", interrupt);
    // The server removes the image now and then ends its side.
    socket.end();
    await closed;
  }
}

/** Null when nobody listens: the server was killed, or there never was one. */
async function connected(path: string): Promise<Socket | null> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ECONNREFUSED") resolve(null);
      else reject(new BackupError(`the server's control socket ${path} cannot be used: ${error.message}`));
    });
  });
}

async function readAnswer(socket: Socket): Promise<Answer> {
  const answer = Promise.withResolvers<Answer>();
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (piece: string) => {
    text += piece;
    if (text.endsWith("\n")) answer.resolve(JSON.parse(text) as Answer);
  });
  const early = (): void => answer.reject(new BackupError("the server ended before it had made an image"));
  for (const event of ["end", "close"]) socket.once(event, early);
  return await answer.promise;
}
