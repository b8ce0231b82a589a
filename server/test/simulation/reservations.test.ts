/**
 * The proof of the limit: callers race for one balance while the server is killed and started again. What they know to be
 * held and used never exceeds the limit; in the end every use counts exactly once, and nothing is held.
 *
 * `HOLDS_SEED=<number>` repeats the callers' choices and the times of the kills; timings are the machine's.
 */

import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeEmbeddedDirectory } from "../../src/engines/state-store/fixture.ts";
import { Random } from "../oracle/random.ts";
import { HoldCallers, HoldLedger, pause } from "./hold-callers.ts";
import { ServedProduct } from "./served-product.ts";

const LIMIT = 100_000;
const KILLS = 3;
const RESERVING = 10;
const LEASING = 3;

const seed = Number(process.env["HOLDS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let root: string;
let product: ServedProduct | null = null;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-holds-"));
  await mkdir(join(root, "data"));
  await rename(await makeEmbeddedDirectory(), join(root, "data", "state"));
});
afterAll(async () => {
  await product?.end("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

async function serve(): Promise<ServedProduct> {
  product = new ServedProduct(join(root, "data"), root);
  return await product.ready();
}

async function post(url: string, json: unknown): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(json) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
}

test("however callers race and whenever the server dies, the limit holds", { timeout: 240_000 }, async () => {
  process.stderr.write(`reservations: HOLDS_SEED=${seed}\n`);
  let running = await serve();
  const api = `${running.url}/api/v1`;
  await post(`${api}/meters`, { slug: "t", eventType: "t", aggregation: "SUM", valueProperty: "$.tokens" });
  await post(`${api}/features`, { key: "t", name: "Tokens", meterSlug: "t" });
  await post(`${api}/customers`, { key: "acme", name: "ACME", usageAttribution: { subjectKeys: [] } });
  const metered = { type: "metered", featureKey: "t", usagePeriod: { interval: "YEAR" }, issueAfterReset: LIMIT };
  await post(`${running.url}/api/v2/customers/acme/entitlements`, metered);

  const ledger = new HoldLedger(LIMIT);
  let url = running.url;
  const callers = new HoldCallers({
    random: new Random(seed),
    ledger,
    url: () => url,
    customer: "acme",
    featureKey: "t",
    eventType: "t",
  });
  const work = callers.run(RESERVING, LEASING);
  const times = new Random(seed + 1);
  for (let kill = 0; kill < KILLS; kill++) {
    await pause(times, 500, 2_500);
    await running.end("SIGKILL");
    url = "";
    running = await serve();
    url = running.url;
  }
  // However slow the machine is, every kind of call was made, and refused.
  await running.until("callers do too little", async () => Object.values(callers.counts).every((count) => count > 0));
  callers.stop();
  await work;

  expect(ledger.violations, `HOLDS_SEED=${seed}`).toEqual([]);
  // The race was one: callers were in each other's way.
  expect(ledger.highest).toBeGreaterThan(LIMIT / 2);

  await running.settled();
  const read = async (path: string): Promise<unknown> =>
    await (await fetch(`${url}/api/v1/customers/acme/entitlements/t${path}`)).json();
  // Only what was abandoned is still held, until its expiry, which is seconds away.
  await running.until("the last expiry does not come", async () => Date.now() > ledger.lastExpiry);
  const left = LIMIT - ledger.used;
  expect(await read("/value"), `HOLDS_SEED=${seed}`).toMatchObject({
    balance: left,
    usage: ledger.used,
    held: 0,
    available: left,
  });
  expect(await read("/reservations?status=held")).toMatchObject({ totalCount: 0 });
  process.stderr.write(`reservations: ${JSON.stringify({ ...callers.counts, used: ledger.used, KILLS })}\n`);
});
