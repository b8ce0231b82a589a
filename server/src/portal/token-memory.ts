/**
 * Records of tokens that were used lately, because a browser that shows a page of charts asks many times in a row.
 *
 * Invariants: a token that this process revoked is never answered again; a record that another process may have changed is
 * read again after a second.
 */

import type { Instant } from "../kernel/instant.ts";
import type { PortalToken } from "./token-store.ts";

const FRESH_MICROS = 1_000_000;
const MAX_REMEMBERED = 10_000;

interface Remembered {
  readonly token: PortalToken;
  readonly readAt: Instant;
}

export class TokenMemory {
  readonly #byId = new Map<string, Remembered>();
  #changes = 0;
  #underWay = 0;

  /** The token with this id: remembered for up to a second, or read by `read`; null when there is none. */
  async get(id: string, now: Instant, read: () => Promise<PortalToken | null>): Promise<PortalToken | null> {
    const known = this.#byId.get(id);
    if (known !== undefined && now >= known.readAt && now < known.readAt + FRESH_MICROS) return known.token;
    const changes = this.#changes;
    const token = await read();
    this.#byId.delete(id);
    if (token !== null && this.#underWay === 0 && changes === this.#changes) {
      if (this.#byId.size >= MAX_REMEMBERED) this.#byId.clear();
      this.#byId.set(id, { token, readAt: now });
    }
    return token;
  }

  /** Notes what changed of a remembered token besides its revocation. */
  used(token: PortalToken, at: Instant): void {
    const known = this.#byId.get(token.id);
    if (known !== undefined) this.#byId.set(token.id, { ...known, token: { ...known.token, lastUsedAt: at } });
  }

  /** Does a revocation. */
  async revoking<T>(revoke: () => Promise<T>): Promise<T> {
    this.#underWay += 1;
    this.#forget();
    try {
      return await revoke();
    } finally {
      this.#underWay -= 1;
      this.#forget();
    }
  }

  #forget(): void {
    this.#changes += 1;
    this.#byId.clear();
  }
}
