/** Requests: the forms in which `@clickhouse/client` sends statements, parameters, settings and rows. */

import { describe, expect, test } from "vitest";
import { decodeRequest, insertFromFile, settingsClause } from "./request.ts";

const decode = (query: string, body = "", contentType?: string) =>
  decodeRequest(new URL(`http://engine/?${query}`), contentType, Buffer.from(body));

describe("decodeRequest", () => {
  test("a statement in the body, parameters and settings in the URL", () => {
    const request = decode(
      "query_id=1&param_a=x%0Ay&max_threads=1&wait_end_of_query=1&database=d",
      "SELECT {a:String}",
    );
    expect(request.sql).toBe("SELECT {a:String}");
    expect([...request.params]).toEqual([["a", "x\ny"]]);
    expect([...request.settings]).toEqual([["max_threads", "1"]]);
    expect(request.isBodyData).toBe(false);
  });

  test("a form keeps texts as they are", () => {
    const part = (name: string, value: string) =>
      `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const value = '\uFEFF--b\r\n\r\nname="q" 😀\r\n';
    const body = `${part("query", "SELECT 1")}${part("param_a", value)}--b--\r\n`;
    const request = decode("max_threads=1", body, "multipart/form-data; boundary=b");
    expect(request.sql).toBe("SELECT 1");
    expect(request.params.get("a")).toBe(value);
  });

  test("a statement in the URL", () => {
    expect(decode("query=SELECT+1").isBodyData).toBe(false);
    expect(decode("query=INSERT+INTO+a.b+(c,+d)+FORMAT+RowBinary").isBodyData).toBe(true);
  });

  test("rejects what cannot be the name of a setting", () => {
    expect(() => decode("a%3D1%2C+b=1", "SELECT 1")).toThrow("UNKNOWN_SETTING");
  });
});

describe("clauses", () => {
  test("settings are numbers or quoted texts", () => {
    expect(settingsClause(new Map())).toBe("");
    const settings = new Map([
      ["max_threads", "2"],
      ["insert_deduplication_token", "it's"],
    ]);
    expect(settingsClause(settings)).toBe("\nSETTINGS max_threads = 2, insert_deduplication_token = 'it\\'s'");
  });

  test("an insert reads its rows from a file", () => {
    expect(insertFromFile("INSERT INTO a.b (c, d) FORMAT RowBinary", "/t/x'", new Map())).toBe(
      "INSERT INTO a.b (c, d) FROM INFILE '/t/x\\'' FORMAT RowBinary",
    );
    expect(() => insertFromFile("SELECT 1", "/t/x", new Map())).toThrow("SYNTAX_ERROR");
  });
});
