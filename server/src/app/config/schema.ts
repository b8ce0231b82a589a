/**
 * The configuration, declared once: every key with its type, limits, default and meaning. Reading, error messages, the
 * effective configuration and the reference page are all derived from this schema, so they cannot disagree.
 *
 * Invariants: keys are camelCase and carry their unit last; every scalar has an environment variable made from its path
 * (`ingest.maxEvents` is `TALLYSTICK_INGEST_MAX_EVENTS`); a parsed value is ready to use (an address is host and port).
 */

import { z } from "zod";
import { parseNetwork } from "../../notifications/index.ts";
import { parseAddress } from "./address.ts";

/** What the schema records about a key besides its type. */
export interface SettingNotes {
  readonly description: string;
  /** Completes the sentence "expected ...". */
  readonly expected: string;
  /** The value is shown only with its password masked. */
  readonly isSecret?: boolean;
  /** The command-line flag with its placeholder, such as `--address <host:port>`. */
  readonly flag?: string;
  /** Lists have no environment variable and no flag: they are set in the file. */
  readonly isList?: boolean;
}

function isNotes(value: unknown): value is SettingNotes {
  return typeof value === "object" && value !== null && "description" in value && "expected" in value;
}

/** Returns what the schema of a key says about it, or undefined when it says nothing. */
export function notesOf(schema: z.core.$ZodType): SettingNotes | undefined {
  const notes = z.globalRegistry.get(schema);
  return isNotes(notes) ? notes : undefined;
}

function integer(initial: number, min: number, max: number, description: string) {
  const expected = `a whole number from ${min} to ${max}`;
  return z.int().min(min).max(max).default(initial).meta({ description, expected });
}

/** A span of time of fixed length. */
export interface FixedDuration {
  /** As written, such as `PT1H`. */
  readonly text: string;
  readonly ms: number;
}

const DURATION = /^P(?!$)(?:(\d+)W)?(?:(\d+)D)?(?:T(?!$)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/u;
const MS_PER_UNIT = [604_800_000, 86_400_000, 3_600_000, 60_000, 1000];
const DURATION_EXPECTED = "an ISO 8601 duration in weeks, days, hours, minutes and seconds, such as P30D or PT1H";

/**
 * Reads an ISO 8601 duration of whole weeks, days, hours, minutes and seconds; null for anything else. Years and months
 * are refused because their length depends on the calendar.
 */
export function parseFixedDuration(text: string): FixedDuration | null {
  const match = DURATION.exec(text);
  if (match === null) return null;
  const ms = MS_PER_UNIT.reduce((sum, unitMs, index) => sum + unitMs * Number(match[index + 1] ?? "0"), 0);
  return Number.isSafeInteger(ms) ? { text, ms } : null;
}

const fixedDuration = z.string().transform((text, context) => {
  const parsed = parseFixedDuration(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: "custom", message: DURATION_EXPECTED });
  return z.NEVER;
});

function duration(description: string) {
  return fixedDuration.optional().meta({ description, expected: DURATION_EXPECTED });
}

/** Variables and flags hold text, the file holds `true` and `false`. */
const truth = z.preprocess((input) => (input === "true" ? true : input === "false" ? false : input), z.boolean());
const TRUTH_EXPECTED = "true or false";

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
const LOG_FORMATS = ["json", "pretty"] as const;
const AGGREGATIONS = ["SUM", "COUNT", "AVG", "MIN", "MAX", "UNIQUE_COUNT", "LATEST"] as const;
const DIMENSION_KEY = /^[a-zA-Z_][0-9a-zA-Z_]*$/u;
const RESERVED_DIMENSIONS = new Set(["subject", "customer_id"]);

const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (typeof parsed !== "string") return parsed;
  context.addIssue({ code: "custom", message: parsed });
  return z.NEVER;
});

const regularExpression = z.string().refine(isRegularExpression, { message: "not a valid regular expression" });

function isRegularExpression(text: string): boolean {
  try {
    return new RegExp(text, "u").source !== "";
  } catch {
    return false;
  }
}

const dimensionKey = z
  .string()
  .regex(DIMENSION_KEY, "a dimension key consists of letters, digits and _ and does not start with a digit")
  .refine((key) => !RESERVED_DIMENSIONS.has(key), "`subject` and `customer_id` are reserved dimension keys");

const meter = z
  .strictObject({
    slug: z
      .string()
      .max(64)
      .regex(/^[a-z0-9]+(?:_[a-z0-9]+)*$/u, "a slug consists of lower-case letters and digits, joined by single _"),
    name: z.string().min(1).max(256).optional(),
    description: z.string().min(1).max(1024).optional(),
    eventType: z.string().min(1),
    aggregation: z.enum(AGGREGATIONS),
    valueProperty: z.string().min(1).optional(),
    groupBy: z.record(dimensionKey, z.string().min(1)).optional(),
  })
  .refine((seed) => seed.aggregation !== "COUNT" || seed.valueProperty === undefined, {
    path: ["valueProperty"],
    message: "a COUNT meter counts events and takes no valueProperty: remove it",
  })
  .refine((seed) => seed.aggregation === "COUNT" || seed.valueProperty !== undefined, {
    path: ["valueProperty"],
    message: "every aggregation except COUNT needs a valueProperty, such as $.tokens",
  });

/** Keys of an entry of `meters`, for suggestions. */
export const METER_KEYS: readonly string[] = Object.keys(meter.shape);

function hasUniqueSlugs(meters: readonly z.output<typeof meter>[]): boolean {
  return new Set(meters.map(({ slug }) => slug)).size === meters.length;
}

const ingest = z
  .strictObject({
    maxBodyBytes: integer(10_485_760, 1024, 1_073_741_824, "Largest request body, after decompression. Above: 413."),
    maxEvents: integer(10_000, 1, 1_000_000, "Most events in one request. Above: 400."),
    maxEventBytes: integer(1_048_576, 256, 67_108_864, "Largest single event as received. Above: 400."),
    maxAttributeBytes: integer(1024, 16, 65_535, "Longest `id`, `source`, `type` and `subject`, each. Above: 400."),
    maxDepth: integer(64, 1, 1000, "Deepest nesting of an event's `data`. Above: 400."),
    maxPast: duration("Events older than this at arrival are rejected with 400. Not set: every age is accepted."),
    maxFuture: duration("Events further ahead than this are rejected with 400. Not set: no limit."),
    maxBacklogEvents: integer(
      10_000_000,
      1,
      1_000_000_000,
      "Most accepted events that wait for the event store. Above: 503 with Retry-After.",
    ),
    conflictRetentionDays: integer(
      90,
      1,
      3650,
      "How long a conflict (same source and id, other payload) stays listed. Counting is not affected.",
    ),
  })
  .meta({ description: "Limits of the ingest API. A request is accepted as a whole or rejected as a whole." });

/** 1 PiB. */
const MAX_FREE_BYTES = 2 ** 50;

const eventLog = z
  .strictObject({
    segmentBytes: integer(67_108_864, 1_048_576, 2_147_483_647, "Size at which the event log starts a new file."),
    queueBytes: integer(
      67_108_864,
      1_048_576,
      2_147_483_647,
      "Events waiting for the disk. Above: 503 with Retry-After.",
    ),
    minFreeBytes: z
      .int()
      .min(0)
      .max(MAX_FREE_BYTES)
      .optional()
      .meta({
        description:
          "Free space on the log's disk that new events leave alone, for storing those accepted before. Below: 503 with " +
          "Retry-After. Not set: 256 MiB or 1 % of the disk, whichever is smaller.",
        expected: `a whole number from 0 to ${MAX_FREE_BYTES}`,
      }),
    retentionHours: integer(24, 0, 87_600, "How long the log keeps events after they reached the event store."),
  })
  .meta({ description: "The durable log that an event is written to before the request is acknowledged." });

const sink = z
  .strictObject({
    maxBatchEvents: integer(50_000, 1, 50_000, "Most events that go into the event store at once."),
    maxBatchBytes: integer(67_108_864, 1024, 268_435_456, "Most bytes that go into the event store at once."),
    lingerMs: integer(100, 0, 200, "How long the sink waits for a batch to fill up; part of the delay until visible."),
  })
  .meta({ description: "The sink moves events from the log into the event store." });

const query = z
  .strictObject({
    timeoutMs: integer(30_000, 100, 3_600_000, "A meter query that takes longer is canceled."),
    maxRows: integer(1_000_000, 1, 100_000_000, "Most rows that a meter query may return."),
  })
  .meta({ description: "Limits of meter queries." });

const log = z
  .strictObject({
    level: z
      .enum(LOG_LEVELS)
      .default("info")
      .meta({
        description: "The least severe messages that are logged.",
        expected: `one of ${LOG_LEVELS.join(", ")}`,
        flag: "--log-level <level>",
      }),
    format: z
      .enum(LOG_FORMATS)
      .default("json")
      .meta({
        description:
          "`json` writes one object per line, `pretty` is for people. On a terminal the default is `pretty`.",
        expected: `one of ${LOG_FORMATS.join(", ")}`,
        flag: "--log-format <format>",
      }),
  })
  .meta({ description: "Logging, on standard output." });

const postgres = z
  .strictObject({
    url: z
      .string()
      .regex(/^postgres(?:ql)?:\/\/\S+$/u)
      .optional()
      .meta({
        description: "Keep state in this PostgreSQL database. Not set: in the embedded one (PGlite) under `dataDir`.",
        expected: "a URL such as postgres://user:password@host:5432/database",
        isSecret: true,
      }),
  })
  .meta({ description: "The state store: meters, positions, conflicts." });

const secret = z.string().min(1, "an empty secret protects nothing");
const SECRET_EXPECTED = "a text of at least 32 random bytes";

function isLifetime({ ms }: FixedDuration): boolean {
  return ms >= 1000;
}

const portal = z
  .strictObject({
    enabled: truth.optional().meta({
      description:
        "Whether portal tokens can be made and used; 501 otherwise. Not set: yes if a secret is set, or with the embedded " +
        "state store, which then makes and keeps a random secret.",
      expected: TRUTH_EXPECTED,
    }),
    tokenSecret: secret.optional().meta({
      description: "The secret that signs portal tokens. Not together with `tokenSecrets`.",
      expected: SECRET_EXPECTED,
      isSecret: true,
    }),
    tokenSecrets: z
      .array(secret)
      .refine(
        (secrets) => secrets.length > 0,
        "an empty list leaves nothing to sign with: name a secret, or leave it out",
      )
      .optional()
      .meta({
        description:
          "Secrets of portal tokens, for changing them: the first signs, all verify. Tokens of a secret that is taken off " +
          "the list end at the next start.",
        expected: `a list of secrets, each ${SECRET_EXPECTED}`,
        isSecret: true,
        isList: true,
      }),
    tokenExpiration: fixedDuration
      .refine(isLifetime, "must be at least a second")
      .prefault("PT1H")
      .meta({ description: "How long a portal token lives if its request does not say.", expected: DURATION_EXPECTED }),
    maxTokenExpiration: fixedDuration.refine(isLifetime, "must be at least a second").optional().meta({
      description: "How long a portal token may live at most. Above: 400. Not set: no limit.",
      expected: DURATION_EXPECTED,
    }),
    rateLimit: integer(
      120,
      1,
      1_000_000,
      "Queries that one portal token may ask in a minute. Above: 429 with Retry-After.",
    ),
    corsEnabled: truth.default(true).meta({
      description: "Whether browsers of every origin may query the portal with a token.",
      expected: TRUTH_EXPECTED,
    }),
  })
  .meta({ description: "The portal, where your customers' browsers read their own usage." });

const leases = z
  .strictObject({
    grace: fixedDuration.prefault("PT10S").meta({
      description:
        "How long a lease holds its amount after it has expired, for events of its holder that are on their way. See " +
        "docs/reservations.md.",
      expected: DURATION_EXPECTED,
    }),
  })
  .meta({ description: "Leases lend slices of a balance to callers that enforce it by themselves." });

const customer = z
  .strictObject({
    enableSubjectHook: truth.default(true).meta({
      description:
        "Whether a subject that no customer owns gets a customer of its own when it is created or changed, so that clients " +
        "that know only subjects can create entitlements.",
      expected: TRUTH_EXPECTED,
    }),
  })
  .meta({ description: "Customers, whose usage it is." });

const network = z.string().refine((text) => parseNetwork(text) !== null, {
  message: "not a network in CIDR notation, such as 10.0.0.0/8 or fd00::/8",
});

const notifications = z
  .strictObject({
    allowPrivateNetworks: truth.default(false).meta({
      description:
        "Whether webhooks may go to private, loopback and other addresses that the public internet does not route. Whoever " +
        "can create channels can then reach what this server can.",
      expected: TRUTH_EXPECTED,
    }),
    denyNetworks: z.array(network).default(["169.254.0.0/16", "fe80::/10"]).meta({
      description: "Networks that webhooks never go to, also where private ones are allowed.",
      expected: "a list of networks in CIDR notation",
      isList: true,
    }),
    eventRetentionDays: integer(90, 3, 3650, "How long notification events and their deliveries are kept."),
  })
  .meta({ description: "Notifications, which are sent as webhooks." });

const shutdown = z
  .strictObject({
    graceMs: integer(15_000, 0, 600_000, "After SIGTERM, how long running requests and batches may take to finish."),
  })
  .meta({ description: "Stopping." });

/** The whole configuration. Sections are objects, everything else is a setting with `SettingNotes`. */
export const configSchema = z.strictObject({
  address: address.prefault("127.0.0.1:8888").meta({
    description: "Where the HTTP server listens. IPv6 in brackets, `[::1]:8888`; port 0 takes a free one.",
    expected: "host:port, such as 127.0.0.1:8888",
    flag: "--address <host:port>",
  }),
  dataDir: z.string().min(1).default("./data").meta({
    description: "Everything durable is kept in here. Relative to the working directory; created when missing.",
    expected: "the path of a directory",
    flag: "--data-dir <directory>",
  }),
  namespace: z.string().min(1).max(64).default("default").meta({
    description: "The namespace that requests without another one, and the `meters` below, belong to.",
    expected: "a name of 1 to 64 characters",
  }),
  log,
  postgres,
  ingest,
  eventLog,
  sink,
  query,
  customer,
  leases,
  notifications,
  portal,
  shutdown,
  reservedEventTypes: z.array(regularExpression).default([]).meta({
    description: "Regular expressions of event types that no meter may use.",
    expected: "a list of regular expressions",
    isList: true,
  }),
  meters: z
    .array(meter)
    .refine(hasUniqueSlugs, "two meters have the same slug")
    .default([])
    .meta({
      description:
        "Meters that exist from the start: `slug`, `name`?, `description`?, `eventType`, `aggregation`, " +
        "`valueProperty`?, `groupBy`?. A missing one is created; one that exists with other values stops the start.",
      expected: "a list of meters",
      isList: true,
    }),
});

/** The configuration as the program uses it. */
export type Config = z.output<typeof configSchema>;

/** A meter of the configuration file. */
export type MeterSeed = z.output<typeof meter>;
