/**
 * Balances of the whole product through everything that moves them: usage on time, late, of the future and sent twice;
 * grants, voids and resets; subjects that change hands; a clock that goes on, jumps and steps back; a sink that is killed at
 * any moment, and restarts of the product.
 *
 * After every step each balance that is in memory must be what a recomputation from the event store says, and both must be
 * what the pure engine makes of the list of events that the test keeps.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { type Product, startProduct } from "../../src/app/product.ts";
import { assert } from "../../src/kernel/assert.ts";
import { microsPerHour, microsPerMinute, microsPerSecond } from "../../src/kernel/civil.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { formatInstant, type Instant, instantFromMicros } from "../../src/kernel/instant.ts";
import { BalanceBooks, type Kind, KINDS } from "./balance-books.ts";

const SEED = 20_261_120;
const STEPS = 40;
const START = 1_767_225_600_000_000;
const CUSTOMERS = ["anna", "bela", "cili"];
const WITHIN_MS = 30_000;

let root: string;
let product: Product;
const clock = new ManualClock(instantFromMicros(START));
const books = new BalanceBooks();
let randomState = SEED;
let nextEvent = 0;
let compared = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-balances-"));
  await start();
  await makeEntitlements();
});

afterAll(async () => {
  await product.stop();
  await rm(root, { recursive: true, force: true });
});

test(`balances in memory, recomputed and on paper are the same (seed ${SEED})`, async () => {
  for (let step = 0; step < STEPS; step++) {
    const action = await act(step);
    await settled();
    await compare(`step ${step}: ${action}`);
  }
  // Most balances are in memory at most times, else this test has compared nothing.
  expect(compared).toBeGreaterThan(STEPS);
});

function below(limit: number): number {
  randomState = (Math.imul(randomState, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((randomState / 2 ** 32) * limit);
}

function pick<Item>(items: readonly Item[]): Item {
  const item = items[below(items.length)];
  assert(item !== undefined, "there is something to pick");
  return item;
}

async function start(): Promise<void> {
  const values = new Map([
    ["address", "127.0.0.1:0"],
    ["dataDir", join(root, "data")],
    ["sink.lingerMs", "0"],
  ]);
  const { config } = loadConfig({
    flags: { values, file: "test.yaml" },
    env: {},
    cwd: root,
    isTerminal: false,
    readFile: () => "",
  });
  product = await startProduct({ config, logger: pino({ level: "silent" }), version: "0.0.0-test", clock });
}

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
  const isEvents = path === "/api/v1/events";
  const type = isEvents ? "application/cloudevents-batch+json" : "application/json";
  const sent = body === undefined ? {} : { headers: { "content-type": type }, body: JSON.stringify(body) };
  const response = await fetch(product.url + path, { method, ...sent });
  return { status: response.status, text: await response.text() };
}

async function done(method: string, path: string, body?: unknown): Promise<string> {
  const { status, text } = await call(method, path, body);
  expect(status, `${method} ${path}: ${text}`).toBeLessThan(300);
  return text;
}

/** An entitlement to each kind of usage for every customer; the subject `shared` is the first one's. */
async function makeEntitlements(): Promise<void> {
  for (const kind of KINDS) {
    const slug = kind.toLowerCase();
    const value = kind === "COUNT" ? {} : { valueProperty: "$.v" };
    await done("POST", "/api/v1/meters", { slug, eventType: "use", aggregation: kind, ...value });
    await done("POST", "/api/v1/features", { key: slug, name: slug, meterSlug: slug });
  }
  for (const key of CUSTOMERS) {
    const subjectKeys = key === "anna" ? [`${key}-1`, "shared"] : [`${key}-1`, `${key}-2`];
    await done("POST", "/api/v1/customers", { key, name: key, usageAttribution: { subjectKeys } });
    for (const subject of [key, ...subjectKeys]) books.owners.set(subject, key);
    for (const kind of KINDS) {
      const text = await done("POST", `/api/v2/customers/${key}/entitlements`, {
        type: "metered",
        featureKey: kind.toLowerCase(),
        // Customers sign up at different minutes.
        usagePeriod: {
          interval: pick(["PT1H", "DAY"]),
          anchor: formatInstant(instantFromMicros(clock.now() - below(90) * microsPerMinute)),
        },
        preserveOverageAtReset: below(2) === 0,
        grants: [grantInput(), grantInput()],
      });
      books.open(key, kind, text, await grantsOf(key, kind));
    }
  }
}

function grantInput(): object {
  const expiration = below(3) === 0 ? { expiration: { duration: "HOUR", count: 1 + below(12) } } : {};
  const recurrence = below(3) === 0 ? { recurrence: { interval: "PT2H" } } : {};
  const amount = 1 + below(60);
  const rollover = below(2) === 0 ? { maxRolloverAmount: amount, minRolloverAmount: below(2) } : {};
  return { amount, priority: 1 + below(2), effectiveAt: text(clock.now()), ...expiration, ...recurrence, ...rollover };
}

async function grantsOf(key: string, kind: Kind): Promise<string> {
  return await done("GET", `/api/v2/customers/${key}/entitlements/${kind.toLowerCase()}/grants?includeDeleted=true`);
}

function text(instant: Instant): string {
  return formatInstant(instant);
}

/** Does one thing at random and tells which. */
async function act(step: number): Promise<string> {
  if (step === Math.floor(STEPS / 2)) {
    await product.stop();
    await start();
    return "restart";
  }
  const dice = below(20);
  if (dice < 9) return await ingest();
  if (dice < 11) return await ingestWhileTheSinkDies();
  if (dice < 13) return await changeGrants();
  if (dice < 14) return await reset();
  if (dice < 15) return await moveSubject();
  if (dice < 16) {
    clock.set(instantFromMicros(clock.now() - below(90) * microsPerSecond));
    return "clock back";
  }
  clock.advance(below(4) === 0 ? below(5) * microsPerHour : below(4 * microsPerMinute));
  return "clock on";
}

async function ingest(): Promise<string> {
  const events = Array.from({ length: 1 + below(12) }, () => {
    const dice = below(10);
    const away = dice === 0 ? -below(6 * microsPerHour) : dice < 3 ? below(2 * microsPerHour) : -below(microsPerMinute);
    nextEvent += 1;
    const subject = pick([...books.owners.keys(), "nobody"]);
    const time = instantFromMicros(clock.now() + away);
    return { id: String(nextEvent), subject, time, value: below(9) - 1 };
  });
  const again = books.events.length === 0 ? [] : [pick(books.events)];
  for (const event of events) books.add(event);
  const sent = [...events, ...again].map(({ id, subject, time, value }) => {
    const data = { v: value };
    return { specversion: "1.0", id, source: "test", type: "use", subject, time: text(time), data };
  });
  await done("POST", "/api/v1/events", sent);
  return `ingest ${sent.length}`;
}

async function ingestWhileTheSinkDies(): Promise<string> {
  const what = await ingest();
  for (let turns = below(20); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  await product.parts.sink.terminate();
  return `${what} while the sink dies`;
}

async function changeGrants(): Promise<string> {
  const [key, kind] = [pick(CUSTOMERS), pick(KINDS)];
  const path = `/api/v2/customers/${key}/entitlements/${kind.toLowerCase()}/grants`;
  const granted = books.grantIds(key, kind);
  if (below(2) === 0 && granted.length > 0) await call("DELETE", `/api/v1/grants/${pick(granted)}`);
  else await call("POST", path, grantInput());
  books.setGrants(key, kind, await grantsOf(key, kind));
  return `grants of ${key} ${kind}`;
}

async function reset(): Promise<string> {
  const [key, kind] = [pick(CUSTOMERS), pick(KINDS)];
  const preserveOverage = below(2) === 0;
  const path = `/api/v2/customers/${key}/entitlements/${kind.toLowerCase()}/reset`;
  const { status } = await call("POST", path, { preserveOverage });
  if (status === 204) books.reset(key, kind, clock.now(), preserveOverage);
  return `reset of ${key} ${kind}: ${status}`;
}

/** The shared subject goes to another customer, with all its usage. */
async function moveSubject(): Promise<string> {
  const from = books.owners.get("shared") ?? "anna";
  const to = pick(CUSTOMERS.filter((key) => key !== from));
  const put = async (key: string, subjectKeys: readonly string[]): Promise<unknown> =>
    await done("PUT", `/api/v1/customers/${key}`, { key, name: key, usageAttribution: { subjectKeys } });
  await put(from, [`${from}-1`]);
  await put(to, [`${to}-1`, "shared"]);
  books.owners.set("shared", to);
  return `shared goes to ${to}`;
}

/** Waits until everything that was acknowledged is stored. */
async function settled(): Promise<void> {
  await vi.waitFor(
    async () => {
      const { text: metrics } = await call("GET", "/metrics");
      expect(metrics).toMatch(/^tallystick_log_lag_events 0$/m);
    },
    { timeout: WITHIN_MS, interval: 5 },
  );
}

async function compare(action: string): Promise<void> {
  const now = text(clock.now());
  for (const key of CUSTOMERS) {
    const kind = pick(KINDS);
    const path = `/api/v1/customers/${key}/entitlements/${kind.toLowerCase()}/value`;
    const label = `${action}; ${key} ${kind} at ${now}`;
    const inMemory = product.parts.balances.live.valueNow(books.entitlementId(key, kind));
    const recomputed = JSON.parse(await done("GET", `${path}?time=${encodeURIComponent(now)}`)) as object;
    expect(recomputed, label).toMatchObject(books.valueAt(key, kind, clock.now()));
    if (inMemory === null) continue;
    compared += 1;
    expect(JSON.parse(await done("GET", path)), label).toMatchObject(recomputed);
    expect(inMemory.balance.toText(), label).toBe(String((recomputed as { balance: number }).balance));
  }
}
