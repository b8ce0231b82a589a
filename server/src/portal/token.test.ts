/** Portal tokens as text: what passes, what is refused and how, and that no altered copy of a token passes. */

import { createHmac } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, generateKeyPair, SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { instantFromMicros } from "../kernel/instant.ts";
import { bearerValue, signToken, type TokenClaims, verifyToken } from "./token.ts";

const SECRET = Buffer.from("0123456789abcdef0123456789abcdef");
const OTHER = Buffer.from("another secret, another secret..");
const SECOND = 1_000_000;
const NOW = instantFromMicros(1_767_225_600 * SECOND + 123_456);
const EXPIRY = instantFromMicros(1_767_229_200 * SECOND);
const CLAIMS: TokenClaims = {
  id: "01KDVDNTM00000000000000000",
  namespace: "default",
  subject: "kunde ü",
  allowedMeterSlugs: ["tokens"],
  issuedAt: NOW,
  expiresAt: EXPIRY,
};
const PASSED = { claims: { id: CLAIMS.id, subject: CLAIMS.subject, allowedMeterSlugs: ["tokens"] } };

const verify = (text: string, secrets: readonly Uint8Array[] = [SECRET], now = NOW, namespace = "default") =>
  verifyToken(text, secrets, { namespace, now });

/** A token with any header and payload, properly signed with the secret. */
function forge(payload: unknown, header: unknown = { alg: "HS256", typ: "JWT" }, secret = SECRET): string {
  const part = (value: unknown) =>
    Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
  const body = `${part(header)}.${part(payload)}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

const PAYLOAD = {
  iss: "openmeter",
  sub: "s",
  exp: 1_767_229_200,
  Namespace: "default",
  Id: "x",
  AllowedMeterSlugs: [],
};

test("a token says what its readers expect and nothing else", async () => {
  const text = await signToken(CLAIMS, SECRET);
  expect(decodeProtectedHeader(text)).toEqual({ alg: "HS256", typ: "JWT" });
  expect(decodeJwt(text)).toEqual({
    iss: "openmeter",
    sub: "kunde ü",
    iat: 1_767_225_600,
    exp: 1_767_229_200,
    Namespace: "default",
    Id: CLAIMS.id,
    AllowedMeterSlugs: ["tokens"],
  });
  expect(await verify(text)).toEqual(PASSED);
});

test("it lives until the very microsecond before its expiry", async () => {
  const text = await signToken(CLAIMS, SECRET);
  expect(await verify(text, [SECRET], instantFromMicros(EXPIRY - 1))).toEqual(PASSED);
  expect(await verify(text, [SECRET], EXPIRY)).toEqual({ refused: "token expired" });
});

test("every secret of the list verifies, and a secret that is not on it does not", async () => {
  const text = await signToken(CLAIMS, OTHER);
  expect(await verify(text, [SECRET, OTHER])).toEqual(PASSED);
  expect(await verify(text, [SECRET])).toEqual({ refused: "invalid token: its signature is wrong" });
  expect(await verify(text, [])).toEqual({ refused: "invalid token: its signature is wrong" });
});

test("no token passes with any of its bits flipped, a character added or one taken away", async () => {
  const text = await signToken(CLAIMS, SECRET);
  const bytes = Buffer.from(text, "latin1");
  const passed: string[] = [];
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const altered = flipped.toString("latin1");
    if ("claims" in (await verify(altered))) passed.push(altered);
  }
  for (let place = 0; place <= text.length; place += 1) {
    for (const altered of [
      `${text.slice(0, place)}${text.slice(place + 1)}`,
      `${text.slice(0, place)}A${text.slice(place)}`,
    ]) {
      if (altered !== text && "claims" in (await verify(altered))) passed.push(altered);
    }
  }
  for (const altered of [`${text}=`, `${text}\n`, ` ${text}`, `${text}.`, `${text}.${text}`]) {
    if ("claims" in (await verify(altered))) passed.push(altered);
  }
  expect(passed).toEqual([]);
});

describe("properly signed tokens are refused", () => {
  test("the forger forges tokens that pass otherwise", async () => {
    expect(await verify(forge(PAYLOAD))).toEqual({ claims: { id: "x", subject: "s", allowedMeterSlugs: [] } });
    const { AllowedMeterSlugs: _, ...rest } = PAYLOAD;
    expect(await verify(forge(rest))).toEqual({ claims: { id: "x", subject: "s", allowedMeterSlugs: [] } });
  });

  test.each<[string, string, string]>([
    ["alg none, signed", forge(PAYLOAD, { alg: "none" }), "invalid token: its algorithm is not HS256"],
    ["alg hs256", forge(PAYLOAD, { alg: "hs256" }), "invalid token: its algorithm is not HS256"],
    ["HS512 in the header", forge(PAYLOAD, { alg: "HS512" }), "invalid token: its algorithm is not HS256"],
    ["no alg", forge(PAYLOAD, {}), "invalid token: its header is malformed"],
    ["a header that is no JSON", forge(PAYLOAD, "x"), "invalid token: its header is malformed"],
    [
      "an unknown critical header",
      forge(PAYLOAD, { alg: "HS256", crit: ["x"], x: 1 }),
      "invalid token: its signature is wrong",
    ],
    ["a payload that is no JSON", forge("x"), "invalid token: its claims are malformed"],
    ["another issuer", forge({ ...PAYLOAD, iss: "x" }), "invalid token: its issuer is wrong"],
    ["no issuer", forge({ ...PAYLOAD, iss: undefined }), "invalid token: its issuer is wrong"],
    ["no expiry", forge({ ...PAYLOAD, exp: undefined }), "invalid token: it has no expiry"],
    ["an expiry in text", forge({ ...PAYLOAD, exp: "1767229200" }), "invalid token: its claims are malformed"],
    ["an old expiry", forge({ ...PAYLOAD, exp: 0 }), "token expired"],
    ["no subject", forge({ ...PAYLOAD, sub: undefined }), "invalid subject"],
    ["an empty subject", forge({ ...PAYLOAD, sub: "" }), "invalid subject"],
    ["another namespace", forge({ ...PAYLOAD, Namespace: "other" }), "invalid token: wrong namespace"],
    ["no id", forge({ ...PAYLOAD, Id: undefined }), "invalid token: its claims are malformed"],
    ["a single slug", forge({ ...PAYLOAD, AllowedMeterSlugs: "tokens" }), "invalid token: its claims are malformed"],
    // Several things are wrong: the first check decides.
    ["expired and without subject", forge({ ...PAYLOAD, exp: 0, sub: "", Namespace: "x" }), "token expired"],
    ["another issuer and expired", forge({ ...PAYLOAD, exp: 0, iss: "x" }), "invalid token: its issuer is wrong"],
  ])("%s", async (_, text, refused) => {
    expect(await verify(text)).toEqual({ refused });
  });

  test("RS256 and a token without a signature", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    const rs256 = await new SignJWT(PAYLOAD).setProtectedHeader({ alg: "RS256" }).sign(privateKey);
    expect(await verify(rs256)).toEqual({ refused: "invalid token: its algorithm is not HS256" });
    const [header, payload] = forge(PAYLOAD, { alg: "none" }).split(".");
    expect(await verify(`${header}.${payload}.`)).toEqual({ refused: "invalid token: it is not a signed JWT" });
    for (const text of ["", ".", "..", "a.b", "a.b.c.d", "ü.ü.ü"]) {
      expect(await verify(text)).toEqual({ refused: "invalid token: it is not a signed JWT" });
    }
  });
});

test.each<[string | undefined, ReturnType<typeof bearerValue>]>([
  [undefined, { refused: "missing authorization header" }],
  ["", { refused: "invalid authorization header" }],
  ["Basic abc", { refused: "invalid authorization header" }],
  ["bearer abc", { refused: "invalid authorization header" }],
  ["Bearer  abc", { refused: "invalid authorization header" }],
  ["Bearer a b", { refused: "invalid authorization header" }],
  ["Bearerabc", { refused: "invalid authorization header" }],
  ["Bearer", { refused: "bearer token cannot be empty" }],
  ["Bearer ", { refused: "bearer token cannot be empty" }],
  ["Bearer abc", { value: "abc" }],
])("the header %j", (header, expected) => {
  expect(bearerValue(header)).toEqual(expected);
});
