/** Numbers that a double cannot hold come through a body, a schema and an answer with every digit. */
import { z } from "@hono/zod-openapi";
import { describe, expect, test } from "vitest";
import { ExactNumber, exactNumber, exactNumberSchema, parseJsonExactly, validationIssues } from "./index.ts";

const amountSchema = z.object({ amount: exactNumberSchema({ description: "An amount.", minimum: 0 }) });

describe("parseJsonExactly", () => {
  test.each([
    "0",
    "-1.5",
    "1e3",
    "1.50",
    "9007199254740992",
    "100000000000000000000",
    "0.1",
    "-0.0",
    "1E-7",
    "0.000000000000000000000",
  ])("%s is an ordinary number", (token) => expect(parseJsonExactly(token)).toBe(Number(token)));

  test.each(["9007199254740993", "0.1234567890123456789", "1e400", "-1e400", "1e-400", "100000000000000000001"])(
    "%s keeps its text",
    (token) => expect(parseJsonExactly(`{"a":[${token}]}`)).toEqual({ a: [new ExactNumber(token)] }),
  );

  test("digits inside strings and keys change nothing", () => {
    const text = '{"12345678901234567":"12345678901234567","__proto__":{"a":1e1},"b":null}';
    expect(JSON.stringify(parseJsonExactly(text))).toBe(text.replace("1e1", "10"));
  });

  test("text that is not JSON is refused with and without long numbers", () => {
    expect(() => parseJsonExactly("{")).toThrow(SyntaxError);
    expect(() => parseJsonExactly("12345678901234567x")).toThrow(SyntaxError);
  });
});

describe("exactNumberSchema", () => {
  test.each([
    ["9007199254740993", "9007199254740993"],
    ["0.1234567890123456789", "0.1234567890123456789"],
    ["1e3", "1000"],
    ["1.50", "1.5"],
    ["0e500", "0"],
    ["1e21", "1000000000000000000000"],
    ["1e-7", "0.0000001"],
    ["12345678901234567e2", "1234567890123456700"],
  ])("%s is %s", (token, text) => {
    expect(amountSchema.parse(parseJsonExactly(`{"amount":${token}}`))).toEqual({ amount: text });
  });

  test.each([
    ['{"amount":"5"}', '"amount": must be a number, not the text "5"; send it without quotes'],
    ["{}", '"amount": must be a number; it is missing'],
    ['{"amount":-1}', '"amount": must be at least 0'],
    ['{"amount":1e38}', '"amount": must have at most 38 digits before and 24 after the point'],
    ['{"amount":1e-25}', '"amount": must have at most 38 digits before and 24 after the point'],
    ['{"amount":1e999999999}', '"amount": must have at most 38 digits before and 24 after the point'],
    ['{"amount":[]}', '"amount": must be a number, not an array'],
  ])("%s is refused", (body, message) => {
    const result = amountSchema.safeParse(parseJsonExactly(body));
    expect(result.success ? [] : validationIssues(result.error)).toMatchObject([{ message, field: "$.amount" }]);
  });
});

test("an answer has every digit", () => {
  expect(JSON.stringify({ balance: exactNumber("9007199254740993.0000000000000001") })).toBe(
    '{"balance":9007199254740993.0000000000000001}',
  );
});
