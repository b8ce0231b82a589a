/**
 * Puts one question to the reference and to a real store, and says precisely where they differ: the question, both
 * answers, and the fewest events found that still make a difference.
 */

import { isDeepStrictEqual } from "node:util";
import type {
  EventListQuery,
  EventStore,
  PhaseUsageQuery,
  StoredEvent,
  UsageQuery,
  ValuesQuery,
} from "../../src/engines/event-store/index.ts";
import { encodeEvents } from "../../src/engines/event-store/index.ts";
import { ReferenceStore } from "../../src/engines/event-store/reference.ts";

export type Question =
  | { readonly kind: "usage"; readonly query: UsageQuery }
  | { readonly kind: "phases"; readonly query: PhaseUsageQuery }
  | { readonly kind: "list"; readonly query: EventListQuery }
  | { readonly kind: "values"; readonly query: ValuesQuery };

/** Each attempt to leave events out costs an insert into the real store. */
const MAX_SHRINK_ATTEMPTS = 60;

function ask(store: EventStore, question: Question): Promise<readonly unknown[]> {
  switch (question.kind) {
    case "usage":
      return store.queryUsage(question.query);
    case "phases":
      return store.queryPhaseUsage(question.query);
    case "list":
      return store.listEvents(question.query);
    case "values":
      return store.listValues(question.query);
  }
}

/** Null when both stores answer alike; otherwise both answers, the real store's failure counting as one. */
async function difference(
  reference: EventStore,
  store: EventStore,
  question: Question,
): Promise<{ readonly expected: readonly unknown[]; readonly actual: readonly unknown[] } | null> {
  const expected = await ask(reference, question);
  const actual = await ask(store, question).catch((error: unknown) => [String(error)]);
  return isDeepStrictEqual(expected, actual) ? null : { expected, actual };
}

/** Compares the answers; resolves to null or to the report of a difference. */
export async function compare(
  reference: EventStore,
  store: EventStore,
  question: Question,
  events: readonly StoredEvent[],
): Promise<string | null> {
  const found = await difference(reference, store, question);
  if (found === null) return null;
  const fewest = await shrink(store, question, events);
  const onFewest = (await differenceOver(store, question, fewest)) ?? found;
  const only = (left: readonly unknown[], right: readonly unknown[]) =>
    left.filter((row) => !right.some((other) => isDeepStrictEqual(row, other)));
  return [
    `The store and the reference differ on a ${question.kind} query.`,
    `query: ${text(question.query)}`,
    `only in the reference: ${text(only(onFewest.expected, onFewest.actual))}`,
    `only in the store: ${text(only(onFewest.actual, onFewest.expected))}`,
    `reference: ${text(onFewest.expected.slice(0, 20))}`,
    `store: ${text(onFewest.actual.slice(0, 20))}`,
    `${fewest.length} events:`,
    ...fewest.map((event) => text(event)),
  ].join("\n");
}

/** Leaves out ever smaller parts of the events as long as the answers still differ. */
async function shrink(
  store: EventStore,
  question: Question,
  events: readonly StoredEvent[],
): Promise<readonly StoredEvent[]> {
  let fewest = events;
  let attempts = 0;
  for (let size = Math.ceil(events.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < fewest.length && attempts < MAX_SHRINK_ATTEMPTS;) {
      const candidate = [...fewest.slice(0, start), ...fewest.slice(start + size)];
      attempts += 1;
      if ((await differenceOver(store, question, candidate)) === null) start += size;
      else fewest = candidate;
    }
  }
  return fewest;
}

let attemptNumber = 0;

/** Asks again over the given events only, stored in a namespace of their own. */
async function differenceOver(store: EventStore, question: Question, events: readonly StoredEvent[]) {
  attemptNumber += 1;
  const namespace = `shrunk-${attemptNumber}`;
  const block = encodeEvents(events.map((event) => ({ ...event, namespace })));
  const reference = new ReferenceStore();
  await reference.insert(block, namespace);
  if (events.length > 0) await store.insert(block, namespace);
  return difference(reference, store, moved(question, namespace));
}

function moved(question: Question, namespace: string): Question {
  switch (question.kind) {
    case "usage":
      return { kind: "usage", query: { ...question.query, meter: { ...question.query.meter, namespace } } };
    case "phases":
      return { kind: "phases", query: { ...question.query, meter: { ...question.query.meter, namespace } } };
    case "list":
      return { kind: "list", query: { ...question.query, namespace } };
    case "values":
      return { kind: "values", query: { ...question.query, meter: { ...question.query.meter, namespace } } };
  }
}

function text(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) => (part instanceof Map ? Object.fromEntries(part) : part));
}
