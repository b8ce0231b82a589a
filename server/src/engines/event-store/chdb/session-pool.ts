/**
 * A few chDB connections to one data directory. A connection runs one statement at a time, so a statement takes a free
 * connection or waits in line for one; statements on different connections run side by side.
 *
 * Invariant: a connection that takes a statement holds no output of another. chDB leaves there what a statement had begun to
 * answer before it failed (a time limit, too many rows), and puts it in front of the next statement's answer.
 */

import { writeSync } from "node:fs";
import { Session } from "chdb";
import { assert } from "../../../kernel/assert.ts";

/** Statements that have no output of their own, to take what lies in a connection. */
const EMPTYING = "SELECT 1 FORMAT Null";
const MAX_EMPTYINGS = 10;

export class SessionPool {
  readonly #sessions: readonly Session[];
  readonly #free: Session[];
  readonly #waiting: ((session: Session) => void)[] = [];

  /** Throws when the directory cannot be opened, for example because another process holds it. */
  constructor(dataDirectory: string, size: number, connectionArgs: readonly string[]) {
    assert(size > 0, "a pool has at least one connection");
    this.#sessions = Array.from({ length: size }, () => new Session(dataDirectory, { connectionArgs }));
    this.#free = [...this.#sessions];
  }

  /** Runs a statement; `format` is that of a statement without a FORMAT clause. Rejects with chDB's error. */
  async run(sql: string, format: string): Promise<Uint8Array> {
    const session = this.#free.pop() ?? (await new Promise<Session>((resolve) => this.#waiting.push(resolve)));
    try {
      return (await session.queryAsync(sql, { format })).bytes();
    } catch (error) {
      await emptied(session);
      throw error;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(session);
      else next(session);
    }
  }

  /** Closes all connections; nothing may run any more. */
  close(): void {
    for (const session of this.#sessions) session.close();
  }
}

/** Resolves when nothing is left in the connection. A process that cannot get there must not answer anything more. */
async function emptied(session: Session): Promise<void> {
  for (let attempt = 0; attempt < MAX_EMPTYINGS; attempt += 1) {
    const left = await session.queryAsync(EMPTYING).catch(() => null);
    if (left?.bytes().length === 0) return;
  }
  // The supervisor starts another process at once; a connection with someone else's rows would give wrong answers.
  writeSync(process.stderr.fd, "a connection still holds what a failed statement had begun to answer\n");
  process.kill(process.pid, "SIGKILL");
}
