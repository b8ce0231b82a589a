/**
 * Records of tokens that were used lately, because a browser that shows a page of charts asks many times in a row.
 *
 * Invariants: a token that this process revoked is never answered again; a record that another process may have changed is
 * read again after a second.
 */

import type { Instant } from "../kernel/instant.ts";
import { Recent } from "../kernel/recent.ts";
import type { PortalToken } from "./token-store.ts";

const FRESH_MICROS = 1_000_000;
const MAX_REMEMBERED = 10_000;

interface Remembered {
  token: PortalToken;
  readonly readAt: Instant;
}

export class TokenMemory {
  readonly #recent = new Recent<Remembered>(MAX_REMEMBERED);

  /** The token with this id: remembered for up to a second, or read by `read`; null when there is none. */
  async get(id: string, now: Instant, read: () => Promise<PortalToken | null>): Promise<PortalToken | null> {
    const known = this.#recent.get(id);
    if (known !== undefined && now >= known.readAt && now < known.readAt + FRESH_MICROS) return known.token;
    this.#recent.forget([id]);
    return await this.#recent.look(read, (token) => (token === null ? [] : [[id, { token, readAt: now }]]));
  }

  /** Notes what changed of a remembered token besides its revocation. */
  used({ id }: PortalToken, at: Instant): void {
    const known = this.#recent.get(id);
    if (known !== undefined) known.token = { ...known.token, lastUsedAt: at };
  }

  /** Does a revocation. */
  async revoking<T>(revoke: () => Promise<T>): Promise<T> {
    return await this.#recent.changing(revoke);
  }
}
