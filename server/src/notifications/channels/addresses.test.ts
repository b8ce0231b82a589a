import { expect, test } from "vitest";
import { AddressRules, parseNetwork } from "./addresses.ts";

const strict = new AddressRules({ denyNetworks: [], allowPrivateNetworks: false });
const open = new AddressRules({ denyNetworks: ["169.254.0.0/16", "fe80::/10"], allowPrivateNetworks: true });

test.each([
  "0.0.0.0",
  "10.1.2.3",
  "100.64.0.1",
  "127.0.0.1",
  "127.255.255.254",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "198.18.0.1",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::ffff:10.0.0.1",
  "::127.0.0.1",
  "64:ff9b::7f00:1",
  "2002:7f00:1::",
  "2001:0:1::1",
  "fc00::1",
  "fdff::1",
  "fe80::1",
  "ff02::1",
])("%s is refused", (address) => {
  expect(strict.refusal(address)).toContain(address);
  expect(strict.refusalOfHost(address.includes(":") ? `[${address}]` : address)).not.toBeNull();
});

test.each(["1.1.1.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "193.0.0.1", "2606:4700::1111", "::ffff:1.1.1.1"])(
  "%s is allowed",
  (address) => {
    expect(strict.refusal(address)).toBeNull();
    expect(open.refusal(address)).toBeNull();
  },
);

test("private addresses can be allowed, configured networks stay refused", () => {
  expect(open.refusal("127.0.0.1")).toBeNull();
  expect(open.refusal("169.254.169.254")).toContain("denyNetworks");
  expect(open.refusal("::ffff:169.254.169.254")).toContain("denyNetworks");
  expect(open.refusal("fe80::1")).toContain("denyNetworks");
});

test.each(["localhost", "LOCALHOST", "localhost.", "api.localhost", "[::1]", "127.0.0.1"])(
  "the host %s means this machine",
  (host) => {
    expect(strict.refusalOfHost(host)).not.toBeNull();
    expect(open.refusalOfHost(host)).toBeNull();
  },
);

test.each(["example.com", "localhost.example.com", "10.example.com"])("the host %s is to be resolved", (host) => {
  expect(strict.refusalOfHost(host)).toBeNull();
});

test.each([
  ["10.0.0.0/8", { address: "10.0.0.0", prefix: 8, family: "ipv4" }],
  ["fe80::/10", { address: "fe80::", prefix: 10, family: "ipv6" }],
  ["10.0.0.0/33", null],
  ["10.0.0.0", null],
  ["fe80::/129", null],
  ["example.com/8", null],
])("the network %s", (text, want) => {
  expect(parseNetwork(text)).toEqual(want);
});
