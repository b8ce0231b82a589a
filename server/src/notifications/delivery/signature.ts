/**
 * Signing by the Standard Webhooks scheme. Every value is sent under its own name and under the `svix-` name, so that
 * receivers with either verifier take it.
 */

import { createHmac } from "node:crypto";
import type { Instant } from "../../kernel/instant.ts";

/** Lower-case names of all headers that sign. */
export const SIGNATURE_HEADERS: readonly string[] = ["webhook", "svix"].flatMap((prefix) =>
  ["id", "timestamp", "signature"].map((name) => `${prefix}-${name}`),
);

/** What is signed: the id of the message, when it is sent, and the exact bytes of its body. */
export interface SignedMessage {
  readonly id: string;
  readonly at: Instant;
  readonly body: string;
}

/** The headers of one attempt; `secrets` are `whsec_` and base64, newest first. */
export function signatureHeaders(message: SignedMessage, secrets: readonly string[]): Record<string, string> {
  const timestamp = String(Math.floor(message.at / 1_000_000));
  const signature = secrets.map((secret) => `v1,${sign(message, timestamp, secret)}`).join(" ");
  const values = [message.id, timestamp, signature];
  return Object.fromEntries(SIGNATURE_HEADERS.map((name, index) => [name, values[index % values.length] ?? ""]));
}

/** Standard Webhooks: base64 of the HMAC-SHA256 over `id.timestamp.body`. */
function sign({ id, body }: SignedMessage, timestamp: string, secret: string): string {
  const key = Buffer.from(secret.replace(/^whsec_/u, ""), "base64");
  return createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
}
