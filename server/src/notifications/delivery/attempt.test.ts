/** Single attempts against a real receiver on loopback. */

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { AddressRules } from "../channels/addresses.ts";
import { attemptDelivery, type AttemptOptions, type Resolve, systemResolve } from "./attempt.ts";
import { fail, hang, Receiver, succeed } from "./fixture.ts";

const open = new AddressRules({ denyNetworks: ["169.254.0.0/16"], allowPrivateNetworks: true });
const strict = new AddressRules({ denyNetworks: [], allowPrivateNetworks: false });

let receiver: Receiver;
beforeAll(async () => {
  receiver = await Receiver.start();
});
beforeEach(() => {
  receiver.received.length = 0;
  receiver.respond = succeed;
});
afterAll(async () => await receiver.stop());

async function attempt(options: Partial<AttemptOptions> = {}, url = receiver.url("/hook?a=1")) {
  return await attemptDelivery(
    { url, headers: { "content-type": "application/json", "x-own": "ü" }, body: '{"text":"ü€😀"}' },
    {
      addresses: open,
      resolve: systemResolve,
      timeoutMs: 5000,
      clock: systemClock,
      signal: new AbortController().signal,
      ...options,
    },
  );
}

test("a POST of exactly these bytes", async () => {
  expect(await attempt()).toMatchObject({ isSuccess: true, statusCode: 204, body: "", retryAfterMs: null });
  const [got] = receiver.received;
  expect(got).toMatchObject({ method: "POST", path: "/hook?a=1", body: '{"text":"ü€😀"}' });
  expect(got?.headers).toMatchObject({ "content-type": "application/json", "content-length": "20", "x-own": "ü" });
});

test.each([200, 201, 204, 299])("%i is a success", async (status) => {
  receiver.respond = fail(status);
  expect(await attempt()).toMatchObject({ isSuccess: true, statusCode: status });
});

test.each([301, 302, 307, 308, 400, 404, 410, 500, 503])(
  "%i is a failure, and no redirect is followed",
  async (status) => {
    receiver.respond = fail(status, { location: receiver.url("/elsewhere") });
    expect(await attempt()).toMatchObject({ isSuccess: false, statusCode: status, body: `status ${status}` });
    expect(receiver.received.map(({ path }) => path)).toEqual(["/hook?a=1"]);
  },
);

test.each([
  [429, "120", 120_000],
  [503, "0", 0],
  [503, "999999999", 86_400_000],
  [503, "soon", null],
  [500, "120", null],
])("status %i with Retry-After %s", async (status, header, wanted) => {
  receiver.respond = fail(status, { "retry-after": header });
  expect(await attempt()).toMatchObject({ retryAfterMs: wanted });
});

test("Retry-After may be a date", async () => {
  receiver.respond = fail(503, { "retry-after": new Date(Date.now() + 60_000).toUTCString() });
  const { retryAfterMs } = await attempt();
  expect(retryAfterMs).toBeGreaterThan(50_000);
  expect(retryAfterMs).toBeLessThanOrEqual(60_000);
});

test("a receiver that hangs is given up, before and within its answer", async () => {
  receiver.respond = hang;
  const silent = await attempt({ timeoutMs: 150 });
  expect(silent).toMatchObject({ isSuccess: false, statusCode: null, body: "no complete answer within 0.15 s" });
  receiver.respond = (response) => void response.writeHead(200).write("a beginning");
  const slow = await attempt({ timeoutMs: 150 });
  expect(slow).toMatchObject({ isSuccess: false, statusCode: null });
  expect(slow.durationMs).toBeLessThan(4000);
});

test("an answer in time counts, however slowly it comes", async () => {
  receiver.respond = (response) => {
    response.writeHead(200).write("one ");
    setTimeout(() => response.end("two"), 50);
  };
  expect(await attempt()).toMatchObject({ isSuccess: true, statusCode: 200, body: "one two" });
});

test("of a long answer the beginning is kept, of an endless one no more is read than that takes", async () => {
  receiver.respond = (response) => void response.writeHead(200).end(`${"a".repeat(4095)}ü${"b".repeat(1000)}`);
  expect((await attempt()).body).toBe("a".repeat(4095));
  let sent = 0;
  receiver.respond = (response) => {
    const more = (): void => {
      while (!response.destroyed && sent < 50_000_000) {
        sent += 65_536;
        if (!response.write("x".repeat(65_536))) return;
      }
    };
    response.writeHead(200).on("drain", more);
    more();
  };
  expect(await attempt()).toMatchObject({ isSuccess: true, body: "x".repeat(4096) });
  expect(sent).toBeLessThan(50_000_000);
});

test("an answer that the state store could not hold is made harmless", async () => {
  receiver.respond = (response) => void response.writeHead(500).end(Buffer.from([0x61, 0, 0xff, 0x62]));
  expect((await attempt()).body).toBe("a\u{FFFD}\u{FFFD}b");
});

test("nobody listening, an unknown host, a broken connection", async () => {
  const closed = await Receiver.start();
  const url = closed.url();
  await closed.stop();
  expect((await attempt({}, url)).body).toContain("ECONNREFUSED");
  const unknown: Resolve = async (name) => await Promise.reject(new Error(`getaddrinfo ENOTFOUND ${name}`));
  expect(await attempt({ resolve: unknown }, "http://nowhere.example")).toMatchObject({
    isSuccess: false,
    statusCode: null,
    body: "getaddrinfo ENOTFOUND nowhere.example",
  });
  receiver.respond = (response) => void response.socket?.destroy();
  expect((await attempt()).isSuccess).toBe(false);
});

test("the resolved address decides, and the name is resolved once", async () => {
  let asked = 0;
  const resolve: Resolve = async () => {
    asked += 1;
    return [{ address: "127.0.0.1", family: 4 }];
  };
  const url = `http://public.example:${receiver.port}/`;
  expect(await attempt({ resolve }, url)).toMatchObject({ isSuccess: true });
  expect([asked, receiver.received[0]?.headers.host]).toEqual([1, `public.example:${receiver.port}`]);
  const refused = await attempt({ resolve, addresses: strict }, url);
  expect(refused).toMatchObject({ isSuccess: false, statusCode: null });
  expect(refused.body).toContain("not sent to public.example: 127.0.0.1 is a private");
  expect(receiver.received).toHaveLength(1);
});

test.each([
  [["::1"], "::1"],
  [["::ffff:10.0.0.1"], "::ffff:10.0.0.1"],
  [["1.1.1.1", "10.0.0.1"], "10.0.0.1"],
])("a name for %j is refused", async (addresses, named) => {
  const resolve: Resolve = async () => addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  expect((await attempt({ resolve, addresses: strict }, "http://inside.example/")).body).toContain(named);
});

test("an address in the URL needs no resolving and is refused too", async () => {
  for (const host of ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "localhost"]) {
    const { body } = await attempt({ addresses: strict }, `http://${host}:${receiver.port}/`);
    expect(body, host).toContain("not sent to ");
  }
  expect((await attempt({}, "http://169.254.169.254/")).body).toContain("denyNetworks");
  expect(receiver.received).toEqual([]);
});

test("the end of the server cuts an attempt off", async () => {
  receiver.respond = hang;
  const end = new AbortController();
  const outcome = attempt({ signal: end.signal });
  while (receiver.open === 0) await new Promise((resolve) => setImmediate(resolve));
  end.abort();
  expect((await outcome).isSuccess).toBe(false);
});
