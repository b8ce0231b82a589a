/**
 * The control endpoint of a running server: a Unix socket on which `tallystick backup` asks for an image of the data
 * directory, because engines let one process only at their files.
 *
 * The socket is in a private directory under the system's temporary directory, since a socket path may have 107 bytes only;
 * `control.json` in the data directory says where. Whoever may use it could read the data directory anyway, and it is never
 * reachable over the network.
 *
 * An exchange: the client connects, the server makes an image and sends one `Answer` as a line of JSON, the client takes
 * what it needs and ends its side, the server removes the image and ends its own. A client that dies ends its side too.
 *
 * Invariants: one image at a time; an image is removed when its client is gone, and a left-over of a crash at the next start.
 */

import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Logger } from "pino";
import { messageOf } from "./files.ts";
import { imageOfRunning, removeImage } from "./image.ts";
import type { ImageInfo, RunningParts } from "./image.ts";

/** What the server answers to a client that connected. */
export type Answer =
  | { readonly kind: "image"; readonly info: ImageInfo }
  | { readonly kind: "failed"; readonly message: string };

/** The contents of `control.json`. */
export interface ControlAddress {
  readonly socket: string;
}

export interface ControlOptions {
  readonly dataDirectory: string;
  readonly parts: RunningParts;
  readonly logger: Logger;
}

const ADDRESS_NAME = "control.json";
const SOCKET_NAME = "control.sock";
const DIRECTORY_PREFIX = "tallystick-control-";

/** Where the server that has `dataDirectory` open listens, or last did; null when that is not told. */
export async function readControlAddress(dataDirectory: string): Promise<ControlAddress | null> {
  const text = await readFile(join(dataDirectory, ADDRESS_NAME), "utf8").catch(() => "null");
  try {
    const found: Partial<ControlAddress> | null = JSON.parse(text);
    return typeof found?.socket === "string" ? { socket: found.socket } : null;
  } catch {
    return null;
  }
}

/** The endpoint of one server. */
export class ControlServer {
  readonly #options: ControlOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #directory = "";
  /** The exchange under way, which ends with the removal of its image. */
  #exchange: Promise<void> | null = null;
  #isClosing = false;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Removes what a crashed server left behind, listens, and tells where. */
  async start(): Promise<void> {
    const { dataDirectory } = this.#options;
    const before = await readControlAddress(dataDirectory);
    if (before !== null) await removeSocketDirectory(dirname(before.socket));
    await removeImage(dataDirectory);
    this.#directory = await mkdtemp(join(tmpdir(), DIRECTORY_PREFIX));
    const socket = join(this.#directory, SOCKET_NAME);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(socket, resolve);
    });
    const address: ControlAddress = { socket };
    const draft = join(dataDirectory, `${ADDRESS_NAME}.new`);
    await writeFile(draft, `${JSON.stringify(address)}\n`, { mode: 0o600 });
    await rename(draft, join(dataDirectory, ADDRESS_NAME));
  }

  /** Ends exchanges under way, which makes their backups fail, and waits until their images are gone. */
  async stop(): Promise<void> {
    if (this.#directory === "") return;
    this.#isClosing = true;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await this.#exchange;
    await removeSocketDirectory(this.#directory);
    await rm(join(this.#options.dataDirectory, ADDRESS_NAME), { force: true });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    // The client is gone either way, and what follows from that is done when the socket closes.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.resume();
    if (this.#isClosing) return void socket.destroy();
    if (this.#exchange !== null) {
      const answer: Answer = { kind: "failed", message: "another backup of this data directory is being taken" };
      return void socket.end(`${JSON.stringify(answer)}\n`);
    }
    this.#exchange = this.#serve(socket).finally(() => (this.#exchange = null));
  }

  async #serve(socket: Socket): Promise<void> {
    const { dataDirectory, parts, logger } = this.#options;
    const clientEnded = new Promise<void>((resolve) => {
      for (const event of ["end", "close"]) socket.once(event, () => resolve());
    });
    let answer: Answer;
    const sinceMs = performance.now();
    try {
      const info = await imageOfRunning(dataDirectory, parts);
      logger.info({ ...info, durationMs: performance.now() - sinceMs }, "backup: made an image of the data directory");
      answer = { kind: "image", info };
    } catch (error) {
      logger.error({ err: error }, "backup: no image of the data directory could be made");
      answer = { kind: "failed", message: messageOf(error) };
    }
    if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
    if (answer.kind === "image") await clientEnded;
    await removeImage(dataDirectory).catch((error: unknown) => {
      logger.error({ err: error }, "backup: the image could not be removed; the next start removes it");
    });
    socket.end();
  }
}

/** Removes a directory that was made for a socket, and no other. */
async function removeSocketDirectory(directory: string): Promise<void> {
  if (basename(directory).startsWith(DIRECTORY_PREFIX)) await rm(directory, { recursive: true, force: true });
}
