/** Everything that the product shows of its events over HTTP: the event listing, the conflicts and the meters. */

import { setTimeout as delay } from "node:timers/promises";
import { SUBJECTS } from "./traffic.ts";

export interface ListedEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly data: { readonly variant: number };
}

export interface ListedItem {
  readonly event: ListedEvent;
  readonly ingestedAt: string;
  readonly storedAt: string;
}

export interface ListedConflict {
  readonly source: string;
  readonly id: string;
  readonly firstSeenAt: string;
  readonly seenAt: string;
  readonly firstPayloadHash: string;
  readonly payloadHash: string;
  readonly event: ListedEvent;
}

export interface MeterRow {
  readonly value: number;
  readonly windowStart: string;
  readonly subject: string | null;
}

/** The meters of the product under test. */
export const METERS = ["events", "amount", "keys"] as const;
export type MeterName = (typeof METERS)[number];

/** Slugs of the meters that are made while the product runs begin with this. */
export const MADE_PREFIX = "made_";

/** What such a meter can be: a meter with the same rows as one of the others, whatever its group-by keys. */
export const MADE_LIKE = {
  events: { aggregation: "COUNT" },
  amount: { aggregation: "SUM", valueProperty: "$.amount" },
  keys: { aggregation: "UNIQUE_COUNT", valueProperty: "$.key" },
} as const satisfies Record<MeterName, { aggregation: string; valueProperty?: string }>;

/** How rows are grouped: over everything, by day and subject, by minute. */
export const GROUPINGS = {
  total: "",
  "day and subject": "windowSize=DAY&groupBy=subject",
  minute: "windowSize=MINUTE",
} as const;
export type GroupingName = keyof typeof GROUPINGS;
export const GROUPING_NAMES: readonly GroupingName[] = ["total", "day and subject", "minute"];

type GroupedRows = Readonly<Record<GroupingName, readonly MeterRow[]>>;

/** A meter that was made while the product ran. */
export interface MadeMeter {
  readonly slug: string;
  /** The meter whose rows it must have. */
  readonly like: MeterName;
  readonly rows: GroupedRows;
}

export interface Snapshot {
  readonly items: readonly ListedItem[];
  readonly conflicts: readonly ListedConflict[];
  readonly rows: Readonly<Record<MeterName, GroupedRows>>;
  readonly made: readonly MadeMeter[];
}

/** The product answered, but not with what was asked for. */
export class HttpFailure extends Error {
  override readonly name = "HttpFailure";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const PAGE = 100;
const POLL_MS = 20;
const STORED_DEADLINE_MS = 60_000;

/** Waits until everything acknowledged is stored, and reads it all. */
export async function takeSnapshot(url: string): Promise<Snapshot> {
  await untilStored(url);
  // Listings page by page take their time; as many go on at once as the engine has sessions.
  const pages = await inLanes(SUBJECTS, 4, async (subject) => {
    const filter = encodeURIComponent(JSON.stringify({ subject: { $eq: subject } }));
    return await readPages<ListedItem>(`${url}/api/v2/events?filter=${filter}`);
  });
  const meter = async (slug: string): Promise<GroupedRows> => ({
    total: await readMeter(url, slug, "total"),
    "day and subject": await readMeter(url, slug, "day and subject"),
    minute: await readMeter(url, slug, "minute"),
  });
  const meters = await readJson<readonly { slug: string; aggregation: string }[]>(`${url}/api/v1/meters`);
  const made = await inLanes(
    meters.filter(({ slug }) => slug.startsWith(MADE_PREFIX)),
    2,
    async ({ slug, aggregation }) => {
      const like = METERS.find((name) => MADE_LIKE[name].aggregation === aggregation);
      if (like === undefined) throw new Error(`${slug} has the aggregation ${aggregation}, which nobody asked for`);
      return { slug, like, rows: await meter(slug) };
    },
  );
  return {
    items: pages.flat(),
    conflicts: await readPages<ListedConflict>(`${url}/api/v1/events/conflicts?`),
    rows: { events: await meter("events"), amount: await meter("amount"), keys: await meter("keys") },
    made,
  };
}

/** How many events the product counts at this moment. */
export async function countEvents(url: string): Promise<number> {
  const rows = await readMeter(url, "events", "total");
  return rows[0]?.value ?? 0;
}

async function untilStored(url: string): Promise<void> {
  const deadlineMs = performance.now() + STORED_DEADLINE_MS;
  for (;;) {
    const text = await (await fetch(`${url}/metrics`)).text();
    const lag = /^tallystick_log_lag_events (\S+)$/m.exec(text)?.[1];
    if (lag === "0") return;
    if (performance.now() > deadlineMs) throw new Error(`the sink does not catch up; it is ${lag} events behind`);
    await delay(POLL_MS);
  }
}

async function readMeter(url: string, meter: string, grouping: GroupingName): Promise<readonly MeterRow[]> {
  const answer = await readJson<{ data: readonly MeterRow[] }>(
    `${url}/api/v1/meters/${meter}/query?${GROUPINGS[grouping]}`,
  );
  return answer.data;
}

async function readPages<Item>(address: string): Promise<readonly Item[]> {
  const items: Item[] = [];
  let cursor: string | undefined;
  do {
    const after: string = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page: { items: readonly Item[]; nextCursor?: string } = await readJson(`${address}&limit=${PAGE}${after}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return items;
}

async function readJson<Answer>(address: string): Promise<Answer> {
  const response = await fetch(address);
  const text = await response.text();
  if (!response.ok) throw new HttpFailure(response.status, `GET ${address}: ${response.status} ${text}`);
  return JSON.parse(text) as Answer;
}

/** Runs `work` for every input, at most `lanes` at a time; results in the order of the inputs. */
async function inLanes<In, Out>(
  inputs: readonly In[],
  lanes: number,
  work: (input: In) => Promise<Out>,
): Promise<readonly Out[]> {
  const results: Out[] = [];
  const entries = inputs.entries();
  const lane = async (): Promise<void> => {
    for (const [index, input] of entries) results[index] = await work(input);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}
