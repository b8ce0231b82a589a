/**
 * Portal tokens as text: JWTs signed with HS256. Pure rules; whether a token was revoked is not theirs to say.
 *
 * Invariants: only the exact text that `signToken` gave passes `verifyToken`, so that no altered copy of a token works, not
 * even one that a lenient reader of base64url would take for the same bytes; no reason of a refusal has anything of the
 * token in it.
 */

import { compactVerify, errors, SignJWT } from "jose";
import { z } from "zod";
import type { Instant } from "../kernel/instant.ts";

const ALGORITHM = "HS256";
/** What existing readers of these tokens expect. */
const ISSUER = "openmeter";
const MICROS_PER_SECOND = 1_000_000;

/** What a token says. */
export interface TokenClaims {
  readonly id: string;
  readonly namespace: string;
  readonly subject: string;
  /** Slugs of the meters that can be queried; empty is all. */
  readonly allowedMeterSlugs: readonly string[];
  readonly issuedAt: Instant;
  /** A whole second. */
  readonly expiresAt: Instant;
}

/** The claims that decide, or the sentence that a client reads instead. */
export type Verification =
  | { readonly claims: Pick<TokenClaims, "id" | "subject" | "allowedMeterSlugs"> }
  | { readonly refused: string };

const headerSchema = z.object({ alg: z.string() });

const claimsSchema = z.object({
  iss: z.unknown().optional(),
  sub: z.string().default(""),
  exp: z.int().optional(),
  Namespace: z.unknown().optional(),
  Id: z.string(),
  AllowedMeterSlugs: z.array(z.string()).nullish(),
});

/** The instant's whole seconds since the epoch. */
export function unixSeconds(instant: Instant): number {
  return Math.floor(instant / MICROS_PER_SECOND);
}

/** The token's text. */
export async function signToken(claims: TokenClaims, secret: Uint8Array): Promise<string> {
  return await new SignJWT({
    Namespace: claims.namespace,
    Id: claims.id,
    AllowedMeterSlugs: [...claims.allowedMeterSlugs],
  })
    .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
    .setIssuer(ISSUER)
    .setSubject(claims.subject)
    .setIssuedAt(unixSeconds(claims.issuedAt))
    .setExpirationTime(unixSeconds(claims.expiresAt))
    .sign(secret);
}

/** Takes the value out of `Bearer <value>`. */
export function bearerValue(header: string | undefined): { readonly value: string } | { readonly refused: string } {
  if (header === undefined) return { refused: "missing authorization header" };
  // HTTP cuts blanks at the end of a header, so that "Bearer " arrives without its blank.
  if (header === "Bearer" || header === "Bearer ") return { refused: "bearer token cannot be empty" };
  const match = /^Bearer ([^\s]+)$/u.exec(header);
  return match?.[1] === undefined ? { refused: "invalid authorization header" } : { value: match[1] };
}

/** Checks a token for requests of `namespace` at `now`. One of the secrets has to have signed it. */
export async function verifyToken(
  text: string,
  secrets: readonly Uint8Array[],
  { namespace, now }: { readonly namespace: string; readonly now: Instant },
): Promise<Verification> {
  const parts = text.split(".");
  if (parts.length !== 3 || !parts.every(isStrictBase64Url)) return invalid("it is not a signed JWT");
  const header = headerSchema.safeParse(jsonOf(parts[0] ?? ""));
  if (!header.success) return invalid("its header is malformed");
  if (header.data.alg !== ALGORITHM) return invalid("its algorithm is not HS256");
  const payload = await signedPayload(text, secrets);
  if (payload === null) return invalid("its signature is wrong");
  const parsed = claimsSchema.safeParse(jsonOf(Buffer.from(payload).toString("base64url")));
  if (!parsed.success) return invalid("its claims are malformed");
  const { iss, sub, exp, Namespace, Id, AllowedMeterSlugs } = parsed.data;
  if (iss !== ISSUER) return invalid("its issuer is wrong");
  if (exp === undefined) return invalid("it has no expiry");
  if (exp * MICROS_PER_SECOND <= now) return { refused: "token expired" };
  if (sub === "") return { refused: "invalid subject" };
  if (Namespace !== namespace) return invalid("wrong namespace");
  return { claims: { id: Id, subject: sub, allowedMeterSlugs: AllowedMeterSlugs ?? [] } };
}

/** The payload if one of the secrets signed it. The comparison takes the same time wherever signatures differ. */
async function signedPayload(text: string, secrets: readonly Uint8Array[]): Promise<Uint8Array | null> {
  for (const secret of secrets) {
    try {
      return (await compactVerify(text, secret, { algorithms: [ALGORITHM] })).payload;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return null;
}

/** Whether the text is the only one that stands for its bytes: no padding, no stray characters, no idle bits set. */
function isStrictBase64Url(text: string): boolean {
  return text !== "" && Buffer.from(text, "base64url").toString("base64url") === text;
}

/** The JSON in base64url, or undefined. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}

function invalid(reason: string): Verification {
  return { refused: `invalid token: ${reason}` };
}
