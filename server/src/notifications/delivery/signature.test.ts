/** Signatures verify with the published verifiers of both schemes, and equal the known vectors. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { expect, test } from "vitest";
import { instantFromMicros } from "../../kernel/instant.ts";
import { signatureHeaders } from "./signature.ts";

test.each([
  {
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: 1_614_265_330,
    body: '{"test": 2432232314}',
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  },
  {
    secret: "whsec_VGFsbHlzdGljayBzcGVjIGV4YW1wbGUga2V5IDMyYiE=",
    id: "msg_01JMA3F6K3W8T8Q8Y2N6Z0V9QX",
    timestamp: 1_740_787_200,
    body: '{"id":"01JMA3F6K3W8T8Q8Y2N6Z0V9QX","type":"entitlements.reset"}',
    signature: "v1,aKFPrxhF+/r2r0w6CuyEoFsYG+KWI/L2Asly7xjhEs0=",
  },
])("vector of $id, under both names", ({ secret, id, timestamp, body, signature }) => {
  const headers = signatureHeaders({ id, at: instantFromMicros(timestamp * 1_000_000 + 999_999), body }, [secret]);
  for (const prefix of ["webhook", "svix"]) {
    expect(headers[`${prefix}-id`]).toBe(id);
    expect(headers[`${prefix}-timestamp`]).toBe(String(timestamp));
    expect(headers[`${prefix}-signature`]).toBe(signature);
  }
  expect(Object.keys(headers)).toHaveLength(6);
});

test("law: every signature verifies with both verifiers, with each of the secrets, and no changed body does", () => {
  const secretText = fc
    .uint8Array({ minLength: 24, maxLength: 64 })
    .map((bytes) => `whsec_${Buffer.from(bytes).toString("base64")}`);
  fc.assert(
    fc.property(
      fc.uniqueArray(secretText, { minLength: 1, maxLength: 3 }),
      fc.json({ stringUnit: "grapheme" }),
      (secrets, body) => {
        const id = `msg_${createHash("sha256").update(body).digest("hex").slice(0, 26)}`;
        const headers = signatureHeaders({ id, at: instantFromMicros(Date.now() * 1000), body }, secrets);
        for (const secret of secrets) {
          new StandardWebhook(secret).verify(body, headers);
          new SvixWebhook(secret).verify(body, headers);
          expect(() => new StandardWebhook(secret).verify(`${body} `, headers)).toThrow();
        }
        expect(() => new SvixWebhook(`whsec_${"A".repeat(32)}`).verify(body, headers)).toThrow();
      },
    ),
  );
});
