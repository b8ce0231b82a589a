/**
 * The laws of the two hashes: what does not change an event's meaning does not change its payload hash, and everything
 * else does; identities are tuples, not joined texts.
 */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instantFromMicros } from "../kernel/instant.ts";
import { EventReader } from "./event-codec.ts";
import { EventBatchHasher, EventHasher } from "./event-hash.ts";
import { EventParser } from "./request-parser.ts";

const PARSER = new EventParser(Buffer.from("default"), {
  maxBodyBytes: 1 << 20,
  maxEvents: 1,
  maxEventBytes: 1 << 20,
  maxAttributeBytes: 1024,
  maxDepth: 64,
});
const HASHER = new EventHasher();
const VALID = { specversion: "1.0", id: "1", source: "gateway", type: "prompt", subject: "customer-1" };

/** The event as the sink reads it, after it went through the ingest parser. */
function received(text: string): EventReader {
  const step = PARSER.parse(Buffer.from(text), "single", instantFromMicros(0)).next();
  if (step.done !== true) throw new Error("a small body is parsed in one slice");
  const reader = new EventReader(step.value.out.view());
  reader.next();
  return reader;
}

function payloadHash(change: object): string {
  return hashOf(JSON.stringify({ ...VALID, ...change }));
}

/** `data` as JSON text, put in verbatim. */
function dataHash(data: string): string {
  return hashOf(`${JSON.stringify(VALID).slice(0, -1)},"data":${data}}`);
}

function hashOf(text: string): string {
  return Buffer.from(HASHER.payloadHash(received(text))).toString("hex");
}

function identity(namespace: string, change: object): string {
  const event = received(JSON.stringify({ ...VALID, ...change }));
  return Buffer.from(HASHER.identity(Buffer.from(namespace), event)).toString("hex");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

describe("payload hash", () => {
  test("is SHA-256 over the canonical JSON", () => {
    const canonical = (data: string, time: string): string =>
      sha256(`{${data}"subject":"customer-1",${time}"type":"prompt"}`);
    expect(payloadHash({})).toBe(canonical("", ""));
    expect(payloadHash({ time: "1970-01-01T00:00:01Z" })).toBe(canonical("", `"time":1000000,`));
    const data = ' { "b" : [1.50, -0, {}], "a":"x\\u0041", "b2":null, "a":"\\u00e9" } ';
    expect(dataHash(data)).toBe(canonical(`"data":{"a":"é","b":[1.5,0,{}],"b2":null},`, ""));
    expect(payloadHash({ subject: "a\nb" })).toBe(sha256(`{"subject":"a\\nb","type":"prompt"}`));
    expect(payloadHash({ subject: 'a"b\n', type: "é" })).toBe(sha256(`{"subject":"a\\"b\\n","type":"é"}`));
  });

  test.each([
    ["the order of names", '{"a":1,"b":{"c":2,"d":3}}', '{"b":{"d":3,"c":2},"a":1}'],
    ["blanks", '{"a":[1,2]}', '{ "a" :\t[ 1 ,\n2 ] }'],
    ["the spelling of numbers", '{"a":1000,"b":0.5,"c":0}', '{"a":1e3,"b":5.00e-1,"c":-0.0}'],
    ["escapes", '{"aé":"x/\\n"}', '{"\\u0061\\u00e9":"x\\/\\u000a"}'],
    ["the order of names that are escaped", '{"a":2,"b":1}', '{"\\u0062":1,"a":2}'],
    ["repeated names", '{"a":2}', '{"a":1,"a":2}'],
    ["repeated names, one of them escaped", '{"a":2}', '{"a":1,"\\u0061":2}'],
    ["the order of more names than are sorted by insertion", manyNames(1), manyNames(-1)],
  ])("does not depend on %s", (_name, first, second) => {
    expect(dataHash(second)).toBe(dataHash(first));
  });

  test.each([
    ['{"a":1}', '{"a":"1"}'],
    ['{"a":1}', '{"a":1.0000000000000000000000001}'],
    ['{"a":9007199254740993}', '{"a":9007199254740992}'],
    ['{"a":[1,2]}', '{"a":[2,1]}'],
    ['{"a":null}', "{}"],
    ['{"a":{}}', '{"a":[]}'],
    ['{"a":1,"a":2}', '{"a":1}'],
    ['{"a":"é"}', '{"a":"e\\u0301"}'],
    ["{}", "null"],
  ])("tells %s from %s", (first, second) => {
    expect(dataHash(second)).not.toBe(dataHash(first));
  });

  test("does not tell absent from null, neither for time nor for data", () => {
    expect(payloadHash({ time: null, data: null })).toBe(payloadHash({}));
  });

  test("depends on type, subject and a given time, not on identity and transport", () => {
    const hash = payloadHash({ time: "2026-01-01T00:00:00Z" });
    expect(payloadHash({ time: "2026-01-01T01:00:00.000000+01:00" })).toBe(hash);
    const same = {
      id: "2",
      source: "other",
      specversion: "0.3",
      datacontenttype: "application/json",
      dataschema: "urn:x",
    };
    expect(payloadHash({ ...same, time: "2026-01-01T00:00:00Z" })).toBe(hash);
    const others = [{}, { time: "2026-01-01T00:00:00.000001Z" }, { subject: "customer-2" }, { type: "prompt2" }];
    for (const change of others.map((other) => ({ time: "2026-01-01T00:00:00Z", ...other })).slice(1)) {
      expect(payloadHash(change)).not.toBe(hash);
    }
    expect(payloadHash({})).not.toBe(hash);
  });

  test("is the same for any order of names, blanks and repeated names", () => {
    const member = fc.tuple(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }));
    fc.assert(
      fc.property(
        fc.uniqueArray(member, { selector: ([name]) => name, maxLength: 24 }),
        fc.infiniteStream(fc.nat()),
        (members, random) => {
          const text = (list: typeof members, blank: string): string =>
            `{${list.map(([name, value]) => `${blank}${JSON.stringify(name)}:${blank}${JSON.stringify(value)}`).join(`,${blank}`)}}`;
          const shuffled = members
            .map((each) => ({ each, order: random.next().value }))
            .toSorted((a, b) => Number(a.order) - Number(b.order))
            .map(({ each }) => each);
          const overwritten = members.map(([name]): (typeof members)[number] => [name, "overwritten"]);
          expect(dataHash(text([...overwritten, ...shuffled], " \n"))).toBe(dataHash(text(members, "")));
        },
      ),
    );
  });
});

/** Twenty names, in ascending or descending order. */
function manyNames(direction: number): string {
  const names = Array.from({ length: 20 }, (_, index) => `"n${index + 10}":${index}`);
  return `{${(direction > 0 ? names : names.toReversed()).join(",")}}`;
}

describe("identity", () => {
  test("is SHA-256 over the lengths and bytes of namespace, source and id", () => {
    const text = `\0\0\0\x02ns\0\0\0\x02\u00e9\0\0\x01\x2c${"x".repeat(300)}`;
    expect(identity("ns", { source: "é", id: "x".repeat(300) })).toBe(sha256(text));
  });

  test("keeps tuples apart that are the same text when joined", () => {
    expect(identity("n", { source: "svc-1", id: "2" })).not.toBe(identity("n", { source: "svc", id: "1-2" }));
    expect(identity("n", { source: "ab", id: "c" })).not.toBe(identity("n", { source: "a", id: "bc" }));
    expect(identity("na", { source: "b", id: "c" })).not.toBe(identity("n", { source: "ab", id: "c" }));
  });

  test("depends on nothing else", () => {
    const other = { type: "other", subject: "other", time: "2026-01-01T00:00:00Z", data: { a: 1 } };
    expect(identity("n", other)).toBe(identity("n", {}));
    expect(identity("m", {})).not.toBe(identity("n", {}));
  });
});

test("hashes in columns are those of one event at a time, over the borders of what is hashed together", () => {
  const batch = new EventBatchHasher();
  for (const count of [0, 1, 255, 256, 257, 1000]) {
    const events = Array.from({ length: count }, (_, index) => {
      const data = index % 5 === 0 ? {} : { data: { text: "x".repeat((index * 37) % 700), value: index / 8 } };
      return received(
        JSON.stringify({ ...VALID, id: `${count}-${index}`, subject: "s".repeat(1 + (index % 90)), ...data }),
      );
    });
    const namespace = Buffer.from("default");
    batch.start(count + 3);
    for (const event of events) batch.add(namespace, event);
    const { identities, payloads } = batch.finish();
    expect(new Set(events.map((event) => Buffer.from(HASHER.identity(namespace, event)).toString("hex"))).size).toBe(
      count,
    );
    expect(Buffer.from(identities)).toEqual(Buffer.concat(events.map((event) => HASHER.identity(namespace, event))));
    expect(Buffer.from(payloads)).toEqual(Buffer.concat(events.map((event) => HASHER.payloadHash(event))));
  }
});
