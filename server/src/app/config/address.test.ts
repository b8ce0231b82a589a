/** Listen addresses: what is accepted and what the refusals say. */

import { describe, expect, test } from "vitest";
import { parseAddress } from "./address.ts";

describe("parseAddress", () => {
  test.each([
    ["127.0.0.1:8888", { host: "127.0.0.1", port: 8888 }],
    ["0.0.0.0:0", { host: "0.0.0.0", port: 0 }],
    ["localhost:65535", { host: "localhost", port: 65_535 }],
    ["meter.example.com:80", { host: "meter.example.com", port: 80 }],
    ["[::1]:8888", { host: "::1", port: 8888 }],
    ["[::ffff:127.0.0.1]:1", { host: "::ffff:127.0.0.1", port: 1 }],
  ])("%s", (text, want) => {
    expect(parseAddress(text)).toEqual(want);
  });

  test.each([
    ["8888", "127.0.0.1:8888"],
    [":8888", "0.0.0.0:8888"],
    ["::1:8888", "brackets"],
    ["localhost", "expected host:port"],
    ["localhost:", "expected host:port"],
    ["http://localhost:80", "expected host:port"],
    ["localhost:65536", "greater than 65535"],
    ["[::1]", "expected host:port"],
    ["", "expected host:port"],
  ])("refuses %j", (text, want) => {
    expect(parseAddress(text)).toContain(want);
  });
});
