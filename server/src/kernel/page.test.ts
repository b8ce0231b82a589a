import { describe, expect, test } from "vitest";

import { asksForPage, pageStyleV1, pageStyleV3, parsePage, parseSlice, sliceOfPage } from "./page.ts";

describe("pages", () => {
  test.each([
    [{}, { page: 1, pageSize: 100 }],
    [{ page: "3" }, { page: 3, pageSize: 100 }],
    [
      { page: "2", pageSize: "1000", limit: "7" },
      { page: 2, pageSize: 1_000 },
    ],
    [
      { page: "2147483647", pageSize: "1" },
      { page: 2_147_483_647, pageSize: 1 },
    ],
  ])("v1 %o", (query, value) => {
    expect(parsePage(query, pageStyleV1)).toEqual({ value });
  });

  test.each([
    [{}, { page: 1, pageSize: 20 }],
    [
      { "page[number]": "4", "page[size]": "50" },
      { page: 4, pageSize: 50 },
    ],
  ])("v3 %o", (query, value) => {
    expect(parsePage(query, pageStyleV3)).toEqual({ value });
  });

  test.each([
    [{ page: "0" }, ["$.page"]],
    [{ page: "-1" }, ["$.page"]],
    [{ page: "1.5" }, ["$.page"]],
    [{ page: "" }, ["$.page"]],
    [{ page: " 1" }, ["$.page"]],
    [{ page: "1e3" }, ["$.page"]],
    [{ page: "2147483648" }, ["$.page"]],
    [{ pageSize: "1001" }, ["$.pageSize"]],
    [{ page: "x", pageSize: "0" }, ["$.page", "$.pageSize"]],
  ])("%o is refused, field by field", (query, fields) => {
    const parsed = parsePage(query, pageStyleV1);
    expect("errors" in parsed ? parsed.errors.map((error) => error.field) : parsed).toEqual(fields);
  });

  test("an error says what would be right", () => {
    expect(parsePage({ pageSize: "5000" }, pageStyleV1)).toEqual({
      errors: [{ code: "out_of_range", message: "Must be a whole number from 1 to 1000.", field: "$.pageSize" }],
    });
  });

  test("the rows of a page", () => {
    expect(sliceOfPage({ page: 1, pageSize: 100 })).toEqual({ limit: 100, offset: 0 });
    expect(sliceOfPage({ page: 3, pageSize: 20 })).toEqual({ limit: 20, offset: 40 });
    expect(Number.isSafeInteger(sliceOfPage({ page: 2_147_483_647, pageSize: 1_000 }).offset)).toBe(true);
  });
});

describe("slices", () => {
  test.each([
    [{}, { limit: 100, offset: 0 }],
    [
      { limit: "1", offset: "0" },
      { limit: 1, offset: 0 },
    ],
    [
      { limit: "1000", offset: "12345" },
      { limit: 1_000, offset: 12_345 },
    ],
  ])("%o", (query, value) => {
    expect(parseSlice(query)).toEqual({ value });
  });

  test("both fields are reported", () => {
    const parsed = parseSlice({ limit: "0", offset: "-1" });
    expect("errors" in parsed ? parsed.errors.map((error) => error.field) : parsed).toEqual(["$.limit", "$.offset"]);
  });

  test.each([
    [{}, false],
    [{ limit: "10", offset: "5" }, false],
    [{ page: "1" }, true],
    [{ pageSize: "10", limit: "10" }, true],
  ])("%o asks for a page: %s", (query, isPage) => {
    expect(asksForPage(query, pageStyleV1)).toBe(isPage);
  });
});
