/**
 * A few chDB connections to one data directory. A connection runs one statement at a time, so a statement takes a free
 * connection or waits in line for one; statements on different connections run side by side.
 */

import { Session } from "chdb";
import { assert } from "../../../kernel/assert.ts";

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
