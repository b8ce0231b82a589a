/** Where the secrets of portal tokens come from: the configuration, or a random one that the state store keeps. */

import type { Kysely } from "kysely";
import type { Database } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import type { RandomBytes } from "../kernel/id.ts";
import { keptSecret } from "./token-store.ts";

/** As many as the signature has. */
const SECRET_BYTES = 32;

export interface SecretOptions {
  readonly db: Kysely<Database>;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  /** Empty: the kept secret is used, and made if there is none. */
  readonly configured: readonly string[];
}

/** The secrets as keys, the signing one first; read from the state store once, when they are first needed. */
export function portalSecrets(options: SecretOptions): () => Promise<readonly Uint8Array[]> {
  const { db, clock, randomBytes, configured } = options;
  const keys = configured.map((secret) => Buffer.from(secret));
  let kept: Uint8Array | undefined;
  return async () => {
    if (keys.length > 0) return keys;
    if (kept === undefined) {
      const candidate = Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
      kept = Buffer.from(await keptSecret(db, candidate, clock.now()));
    }
    return [kept];
  };
}
