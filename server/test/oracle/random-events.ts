/**
 * Random events of one namespace, made to hurt: instants around changes of a zone's offset and the ends of months, many
 * ties, numbers that doubles cannot hold, texts that break quoting, and documents of every shape.
 */

import type { StoredEvent } from "../../src/engines/event-store/index.ts";
import { type Instant, instantFromMicros, parseInstant } from "../../src/kernel/instant.ts";
import { offsetTransitions } from "../../src/kernel/time-zone.ts";
import type { Random } from "./random.ts";

/** What the events and the queries over them have in common. */
export interface World {
  readonly namespace: string;
  /** Changes of its offset attract events. */
  readonly zone: string;
  readonly instants: readonly Instant[];
  readonly subjects: readonly string[];
  readonly types: readonly string[];
  readonly events: readonly StoredEvent[];
}

export const partitions: readonly number[] = [0, 1, 7];

const zones: readonly string[] = [
  "UTC",
  "America/Los_Angeles",
  "Europe/Budapest",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "America/Sao_Paulo",
  "Pacific/Apia",
  "Africa/Monrovia",
  "America/St_Johns",
  "Africa/Casablanca",
  "Asia/Gaza",
  "Pacific/Chatham",
  "Antarctica/Troll",
  "America/Havana",
  "Asia/Tehran",
  "Europe/Dublin",
  "Pacific/Kiritimati",
];

const everyZone: readonly string[] = Intl.supportedValuesOf("timeZone");

export const texts: readonly string[] = [
  "",
  "a",
  "b",
  "B",
  "abc",
  "ABC",
  "it's",
  'say "hi"',
  "back\\slash",
  "100%",
  "a_c",
  "null",
  "true",
  "0",
  "1",
  "1.5",
  "1.50",
  "+1",
  "NaN",
  "Infinity",
  "-inf",
  " 7 ",
  "1,000",
  "0x10",
  "1e3",
  ".5",
  "5.",
  "-0",
  "é",
  "e\u0301",
  "ÀÉ",
  "straße",
  "ΟΔΟΣ",
  "İ",
  "😀",
  "\uffff",
  "tab\t",
  "line\nbreak",
  "nul\u0000",
  "{}",
  "[]",
  "{p0:String}",
  "~1|2",
  "#1",
  "=1",
  '"',
  "\\",
  "1e400",
  "-1e38",
  "1e-30",
];

const epoch = 0;
const lastInstant = 7_258_118_399_999_999;
const minuteMicros = 60_000_000;
const hourMicros = 60 * minuteMicros;
const dayMicros = 24 * hourMicros;

export function randomZone(random: Random): string {
  return random.oneIn(3) ? random.pick(everyZone) : random.pick(zones);
}

/** `nextOffset` hands out the next free offset of a partition. */
export function randomWorld(random: Random, namespace: string, nextOffset: (partition: number) => number): World {
  const zone = randomZone(random);
  const instants = interestingInstants(random, zone);
  const subjects = [...new Set(random.list(4, () => random.pick(texts) || "subject"))];
  const types = ["type", random.pick(texts) || "other type"];
  const arrivals = random.list(5, () => random.pick(instants));
  const world = { namespace, zone, instants, subjects, types };
  const events = random.list(random.oneIn(8) ? random.between(1, 5) : random.between(40, 220), () => {
    const partition = random.pick(partitions);
    return {
      namespace,
      id: `event ${random.below(1_000_000)}`,
      source: random.pick(["s1", "s2", "it's"]),
      type: random.oneIn(6) ? random.pick(types) : "type",
      subject: random.pick(subjects),
      time: random.pick(instants),
      isTimeGiven: random.oneIn(2),
      data: random.oneIn(12) ? null : randomDocument(random),
      ingestedAt: random.pick(arrivals),
      storedAt: random.pick(arrivals),
      partition,
      offset: nextOffset(partition),
    };
  });
  return { ...world, events };
}

/**
 * A few hundred microseconds, hours and days around moments that matter; events and bounds of queries draw from them.
 */
function interestingInstants(random: Random, zone: string): readonly Instant[] {
  const year = random.pick([1970, 1972, 1999, 2007, 2011, 2018, 2024, 2025, 2026, 2105, 2199]);
  const start = instant(`${year}-01-01T00:00:00Z`);
  const end = Math.min(start + 400 * dayMicros, lastInstant);
  const changes = offsetTransitions(zone, start, instantFromMicros(end)).map((transition) => transition.at);
  const months = ["01-01", "01-31", "02-28", "03-01", "12-31"].map((date) => instant(`${year}-${date}T00:00:00Z`));
  const centers = [start, end, start + random.below(300) * dayMicros, ...random.some(months), ...changes];
  const steps = [0, 0, 1, -1, minuteMicros, -minuteMicros, hourMicros, -hourMicros, dayMicros, -dayMicros];
  return random.list(random.between(3, 60), () => {
    const step = random.oneIn(3) ? random.between(-2 * hourMicros, 2 * hourMicros) : random.pick(steps);
    return instantFromMicros(Math.min(Math.max(random.pick(centers) + step, epoch), lastInstant));
  });
}

function instant(text: string): Instant {
  return parseInstant(text) ?? instantFromMicros(epoch);
}

/** The text of an object. Numbers stay text, so that no double ever rounds them. */
function randomDocument(random: Random): string {
  return randomObject(random, 3);
}

function randomObject(random: Random, depth: number): string {
  // Most queries ask for `v`; it comes first, so that a later duplicate can replace it.
  const usual = random.oneIn(5) ? [] : ["v"];
  const others = random.list(random.between(0, 5), () =>
    random.pick(["v", "k", "n", "a", "v", "it's", "größe", "a.b", ""]),
  );
  const members = [...usual, ...others].map(
    (name) => `${blank(random)}${JSON.stringify(name)}:${blank(random)}${randomValue(random, depth)}`,
  );
  return `{${members.join(",")}${blank(random)}}`;
}

function randomValue(random: Random, depth: number): string {
  const kind = random.below(12);
  if (kind < 5) return randomNumber(random);
  if (kind < 7) return JSON.stringify(random.pick(texts));
  if (kind === 7) return `"${randomNumber(random)}"`;
  if (kind === 8) return random.pick(["true", "false", "null", '"\\u0031"', '"\\ud83d\\ude00"', '"\\ud800"']);
  if (depth === 0) return random.pick(["{}", "[]", "1"]);
  if (kind < 11) return `[${random.list(random.between(0, 4), () => randomValue(random, depth - 1)).join(",")}]`;
  return randomObject(random, depth - 1);
}

function blank(random: Random): string {
  return random.oneIn(4) ? random.pick([" ", "\t", "\n "]) : "";
}

export function randomNumber(random: Random): string {
  const usual = ["0", "-0", "1", "-1", "1.5", "1.50", "10", "0.1", "1e3", "9007199254740993", "18446744073709551616"];
  if (random.oneIn(2)) return random.pick(usual);
  const sign = random.oneIn(3) ? "-" : "";
  const first = random.pick(["0", "1", "4", "5", "9"]);
  const integer = first === "0" ? "0" : first + randomDigits(random, random.pick([0, 0, 1, 5, 18, 19, 36, 37, 38]));
  const fraction = random.oneIn(2) ? `.${randomDigits(random, random.pick([1, 2, 10, 23, 24, 25, 26, 60]))}` : "";
  const power = random.pick([0, 1, 2, 7, 24, 25, 26, 37, 38, 40, 399, 400, 99_999_999_999]);
  const exponent = random.oneIn(3) ? `${random.pick(["e", "E"])}${random.pick(["", "+", "-", "-"])}${power}` : "";
  return `${sign}${integer}${fraction}${exponent}`;
}

/** Runs of nines and zeros and a five in the right place are where rounding goes wrong. */
function randomDigits(random: Random, length: number): string {
  const digit = random.pick(["0", "9", "?", "?"]);
  const digits = random.list(length, () => (digit === "?" ? String(random.below(10)) : digit));
  if (length > 0 && random.oneIn(2)) digits[length - 1] = random.pick(["0", "4", "5", "9"]);
  return digits.join("");
}
