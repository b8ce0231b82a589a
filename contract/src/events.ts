/**
 * Events: what happened, sent by clients as CloudEvents and listed back with what became of them.
 *
 * Invariants of the wire: an event is identified by `source` and `id` within a namespace and counts once for ever; a
 * batch is accepted or rejected as a whole; the answer 204 means that every event is on disk.
 */
import { createRoute, z } from "@hono/zod-openapi";
import {
  filterIdExactSchema,
  filterStringSchema,
  filterTimeSchema,
  limitFilterDepth,
  withNestingLimit,
} from "./filters.ts";
import { clientIdSchema, ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { cursorParameter, limitParameter, nextCursorSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { jsonParameter, repeatedParameter } from "./query-string.ts";

/** `$and` and `$or` nest at most this deep in the filter of an event list. */
const EVENT_FILTER_DEPTH_LIMIT = 1;

export const eventSchema = z
  .object({
    id: z
      .string()
      .min(1)
      .openapi({
        description:
          "Identifies the event within its `source`, at most 1024 bytes. Choose it from the thing that happened (a request " +
          "id, a job id), so that sending the same event again is recognised and not counted twice.",
        example: "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
      }),
    source: z.string().min(1).openapi({
      description: "What produced the event, by convention a URI or a service name, at most 1024 bytes.",
      format: "uri-reference",
      example: "chat-service",
    }),
    specversion: z
      .string()
      .min(1)
      .refine((version) => version === "1.0" || version === "0.3", {
        error: (issue) => `"specversion" must be 1.0 (or 0.3), not ${JSON.stringify(issue.input)}`,
      })
      .openapi({
        description: "Version of CloudEvents: `1.0`. `0.3` is accepted too; listings always show `1.0`.",
        default: "1.0",
        example: "1.0",
      }),
    type: z.string().min(1).openapi({
      description: "Kind of event, at most 1024 bytes. Meters choose events by it, byte for byte.",
      example: "prompt",
    }),
    datacontenttype: z.literal("application/json").nullish().openapi({
      description: "Media type of `data`; only JSON is accepted.",
      example: "application/json",
    }),
    dataschema: z.string().min(1).nullish().openapi({
      description: "URI of the schema of `data`. Accepted, not stored.",
      format: "uri",
    }),
    subject: z
      .string()
      .min(1)
      .openapi({
        description:
          "Whose usage it is: a customer key or one of a customer's subject keys, at most 1024 bytes. It need not exist when " +
          "the event arrives.",
        example: "customer-1",
      }),
    time: timestampSchema(
      "When it happened, with microsecond resolution; finer digits are cut off. Absent or null: the time of arrival. " +
        "Past times are counted in the window they belong to, whenever they arrive. From 1970 to before 2200.",
    ).nullish(),
    data: z
      .record(z.string(), z.unknown())
      .nullish()
      .openapi({
        additionalProperties: true,
        description:
          "The measured facts, a JSON object of at most 64 levels. Numbers keep every digit sent: they never pass through " +
          "floating point.",
        example: { model: "gpt-5", tokens: 1250 },
      }),
  })
  .openapi("Event", {
    description: "A CloudEvent in JSON. Further top-level attributes are accepted and dropped. At most 1 MiB.",
  });

/** An event as sent. */
export type Event = z.output<typeof eventSchema>;

export const eventBatchSchema = z.array(eventSchema);

export const ingestEventsBodySchema = z.union([eventSchema, eventBatchSchema]).openapi("IngestEventsBody", {
  description: "One event, or an array of events. An empty array is rejected under `application/json`.",
});

export const ingestedEventSchema = z
  .object({
    event: eventSchema.openapi({ description: "The event as it was accepted." }),
    customerId: ulidSchema("Id of the customer that owns the subject; absent while no customer does.").optional(),
    validationError: z
      .string()
      .optional()
      .openapi({
        description:
          "Why the event does not count somewhere, one reason a line: no meter for its type, no customer for its subject, or " +
          "a value that a meter cannot read. Computed against the meters and customers of now.",
        example: "no meter found for event type: prompt",
      }),
    ingestedAt: timestampSchema("When the server accepted the event.", "2026-01-15T10:00:01.25Z"),
    storedAt: timestampSchema("When the event became visible to queries.", "2026-01-15T10:00:01.5Z"),
  })
  .openapi("IngestedEvent", { description: "An accepted event and what became of it." });

/** An accepted event and what became of it. */
export type IngestedEvent = z.output<typeof ingestedEventSchema>;

export const ingestedEventPageSchema = z
  .object({
    items: z.array(ingestedEventSchema).max(100).openapi({ description: "Events, latest first." }),
    nextCursor: nextCursorSchema,
  })
  .openapi("IngestedEventCursorPaginatedResponse", { description: "A page of events." });

export const eventFilterSchema = z
  .object({
    id: filterStringSchema.optional().openapi({ description: "Condition on the event's `id`." }),
    source: filterStringSchema.optional().openapi({ description: "Condition on the event's `source`." }),
    subject: filterStringSchema.optional().openapi({ description: "Condition on the event's `subject`." }),
    customerId: filterIdExactSchema.optional().openapi({
      description: "The event's subject is the key or a subject key of one of these customers.",
    }),
    type: filterStringSchema.optional().openapi({ description: "Condition on the event's `type`." }),
    time: filterTimeSchema.optional().openapi({ description: "Condition on the event's `time`." }),
    ingestedAt: filterTimeSchema.optional().openapi({ description: "Condition on the time of acceptance." }),
  })
  .superRefine((filter, context) => {
    for (const name of ["id", "source", "subject", "type", "time", "ingestedAt"] as const) {
      limitFilterDepth(filter[name], EVENT_FILTER_DEPTH_LIMIT, [name], context);
    }
  })
  .openapi("EventFilter", {
    description: "Conditions on events; all of them must match. `$and` and `$or` nest at most once.",
  });

/** Conditions of an event list. */
export type EventFilter = z.output<typeof eventFilterSchema>;

export const listEventsQuerySchema = z.object({
  clientId: clientIdSchema.optional(),
  ingestedAtFrom: timestampSchema("Events accepted at this time or later; at most 32 days ago.").optional(),
  ingestedAtTo: timestampSchema("Events accepted before this time.", "2026-01-16T00:00:00Z").optional(),
  id: z.string().optional().openapi({ description: "Events whose `id` contains this text.", example: "5c10fade" }),
  subject: z.string().optional().openapi({ description: "Events of exactly this subject.", example: "customer-1" }),
  customerId: repeatedParameter(ulidSchema("Id of a customer."), {
    description: "Events whose subject is the key or a subject key of one of these customers. Repeat it for several.",
  }),
  from: timestampSchema("Events that happened at this time or later. Default and limit: 32 days ago.").optional(),
  to: timestampSchema("Events that happened before this time; not before `from`.", "2026-01-16T00:00:00Z").optional(),
  limit: limitParameter("events"),
});

/** Parameters of `GET /api/v1/events`. */
export type ListEventsQuery = z.output<typeof listEventsQuerySchema>;

export const listEventsV2QuerySchema = z.object({
  cursor: cursorParameter,
  limit: limitParameter("events"),
  clientId: clientIdSchema.optional(),
  filter: jsonParameter(
    withNestingLimit(eventFilterSchema),
    "Conditions on the events, as percent-encoded JSON. Every condition states one operator; all must match.",
    { type: { $eq: "prompt" }, subject: { $in: ["customer-1", "customer-2"] } },
  ),
});

/** Parameters of `GET /api/v2/events`. */
export type ListEventsV2Query = z.output<typeof listEventsV2QuerySchema>;

export const eventConflictSchema = z
  .object({
    source: z.string().openapi({ description: "`source` of the identity.", example: "chat-service" }),
    id: z.string().openapi({
      description: "`id` of the identity.",
      example: "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
    }),
    firstSeenAt: timestampSchema("When the event that counts was accepted."),
    seenAt: timestampSchema("When the event that does not count arrived.", "2026-01-15T10:05:00Z"),
    firstPayloadHash: z.string().openapi({
      description: "SHA-256, in hexadecimal, of the canonical type, subject, time and data of the event that counts.",
      example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }),
    payloadHash: z.string().openapi({
      description: "The same hash of the event that does not count; always another value.",
      example: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    }),
    event: eventSchema.openapi({ description: "The event that does not count, as it was sent." }),
  })
  .openapi("EventConflict", {
    description:
      "A later event with the `source` and `id` of an earlier one, but other content. The earlier one counts.",
  });

/** A later event with an earlier event's identity and other content. */
export type EventConflict = z.output<typeof eventConflictSchema>;

export const eventConflictPageSchema = z
  .object({
    items: z.array(eventConflictSchema).max(100).openapi({ description: "Conflicts, latest arrival first." }),
    nextCursor: nextCursorSchema,
  })
  .openapi("EventConflictPage", { description: "A page of conflicts." });

export const listEventConflictsQuerySchema = z.object({
  source: z.string().min(1).optional().openapi({
    description: "Conflicts of exactly this source.",
    example: "chat-service",
  }),
  id: z.string().min(1).optional().openapi({
    description: "Conflicts of exactly this event id.",
    example: "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
  }),
  seenAtFrom: timestampSchema("Conflicts that arrived at this time or later.").optional(),
  seenAtTo: timestampSchema("Conflicts that arrived before this time.", "2026-01-16T00:00:00Z").optional(),
  limit: limitParameter("conflicts"),
  cursor: cursorParameter,
});

/** Parameters of `GET /api/v1/events/conflicts`. */
export type ListEventConflictsQuery = z.output<typeof listEventConflictsQuerySchema>;

/** Values of a parameter that can be repeated; more belong into several streams. */
const MAX_STREAM_VALUES = 100;

const streamPositionSchema = z.string().min(1);

function streamFilter(attribute: string, example: string) {
  const description = `Only events of exactly this \`${attribute}\`. Repeat it for alternatives.`;
  return repeatedParameter(z.string().min(1), { description, example: [example] }, { maxItems: MAX_STREAM_VALUES });
}

export const streamEventsQuerySchema = z.object({
  type: streamFilter("type", "prompt"),
  source: streamFilter("source", "chat-service"),
  subject: streamFilter("subject", "customer-1"),
  lastEventId: streamPositionSchema.optional().openapi({
    description: "Like the header `Last-Event-ID`, which wins: the stream goes on after the message with this `id`.",
    example: "0-41",
  }),
});

/** Parameters of `GET /api/v1/events/stream`. */
export type StreamEventsQuery = z.output<typeof streamEventsQuerySchema>;

export const streamedEventSchema = ingestedEventSchema
  .pick({ event: true, ingestedAt: true })
  .openapi("StreamedEvent", {
    description: "The `data` of a message of the event stream: an event that was accepted.",
  });

/** The `data` of a message of the event stream. */
export type StreamedEvent = z.output<typeof streamedEventSchema>;

const exampleEvent = {
  specversion: "1.0",
  id: "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
  source: "chat-service",
  type: "prompt",
  subject: "customer-1",
  time: "2026-01-15T10:00:00Z",
  data: { model: "gpt-5", tokens: 1250 },
};

export const ingestEventsRoute = createRoute({
  method: "post",
  path: "/api/v1/events",
  operationId: "ingestEvents",
  tags: ["Events"],
  summary: "Send events",
  description:
    "Accepts one event or a batch. The answer is 204 only after every event is durably stored; nothing acknowledged " +
    "in this way is lost, even if the server is killed right afterwards. A batch is accepted or rejected as a whole.\n\n" +
    "An event whose `source` and `id` were accepted before is dropped and still answered with 204, so a request that " +
    "failed or timed out can simply be sent again. A repetition with other content is a conflict: it is dropped too, and " +
    "listed under `GET /api/v1/events/conflicts`.\n\n" +
    "No event is rejected because of a meter. Events of an unknown type, or without a readable value, are stored; " +
    "listings say why they do not count. Accepted events appear in queries within about a second.\n\n" +
    "Limits: 10 MiB a request (after decompression), 10,000 events, 1 MiB an event. `Content-Encoding: gzip` is accepted.",
  request: {
    body: {
      required: true,
      description: "The events. Media type parameters such as `charset=utf-8` are accepted.",
      content: {
        "application/cloudevents+json": { schema: eventSchema, example: exampleEvent },
        "application/cloudevents-batch+json": { schema: eventBatchSchema, example: [exampleEvent] },
        "application/json": { schema: ingestEventsBodySchema, example: exampleEvent },
      },
    },
  },
  responses: {
    204: { description: "Every event is durably stored, or was before." },
    ...problemResponses([400, 413, 500, 503], {
      400: "At least one event is invalid and none is stored. `extensions.validationErrors` lists every offending event.",
    }),
  },
});

export const listEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/events",
  operationId: "listEvents",
  tags: ["Events"],
  summary: "List recent events",
  description:
    "The events of the last 32 days, latest `time` first. Use it to see what arrives and why an event does not count. " +
    "`GET /api/v2/events` has pages, more filters and no limit in time.",
  request: { query: listEventsQuerySchema },
  responses: {
    200: {
      description: "Events, latest first.",
      content: { "application/json": { schema: z.array(ingestedEventSchema) } },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const listEventsV2Route = createRoute({
  method: "get",
  path: "/api/v2/events",
  operationId: "listEventsV2",
  tags: ["Events"],
  summary: "List events page by page",
  description: "All events that match the filter, latest `time` first. Follow `nextCursor` to reach older ones.",
  request: { query: listEventsV2QuerySchema },
  responses: {
    200: {
      description: "A page of events.",
      content: { "application/json": { schema: ingestedEventPageSchema } },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const listEventConflictsRoute = createRoute({
  method: "get",
  path: "/api/v1/events/conflicts",
  operationId: "listEventConflicts",
  tags: ["Events"],
  summary: "List conflicting events",
  description:
    "Events that repeat the `source` and `id` of an accepted event with other content, latest arrival first. They do not " +
    "count: the first accepted event does. A conflict usually means that a client reuses ids. Kept for 90 days, at most " +
    "100 for each identity. This operation is an extension of Tallystick.",
  request: { query: listEventConflictsQuerySchema },
  responses: {
    200: {
      description: "A page of conflicts.",
      content: { "application/json": { schema: eventConflictPageSchema } },
    },
    ...problemResponses([400, 500, 503]),
  },
});

const exampleStream = [
  ": events follow as they are accepted\nid: 0-41\n\n",
  "id: 0-42\nevent: event\n",
  `data: ${JSON.stringify({ event: exampleEvent, ingestedAt: "2026-01-15T10:00:01.25Z" })}\n\n`,
  ": keep-alive\n\n",
].join("");

export const streamEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/events/stream",
  operationId: "streamEvents",
  tags: ["Events"],
  summary: "Watch events arrive",
  description:
    "Server-sent events: a message for every event from now on, as soon as it is accepted and on disk. Parameters of " +
    "different names must all match.\n\n" +
    "It shows **arrivals**: a duplicate or a conflict appears again, with an `id` of its own, although it does not count. " +
    "The order is that of acceptance.\n\n" +
    "Every message has an `id`. Pass the last one in `Last-Event-ID` and the stream goes on after it without a gap or a " +
    "repeat, as browsers do by themselves. A message that has only an `id` tells how far the stream has looked. The log " +
    "keeps events for a day, unless configured otherwise; the answer to an older position is 400.\n\n" +
    "A client that reads slowly lags behind. When the log no longer holds what comes next for it, the stream ends with a " +
    "message `event: error`, whose `data` is a `Problem`. A comment every 15 seconds keeps the connection alive. At most " +
    "32 streams can be open. This operation is an extension of Tallystick.\n\n" +
    "Try it: `curl -N 'http://localhost:8888/api/v1/events/stream?type=prompt'`",
  request: {
    query: streamEventsQuerySchema,
    headers: z.object({
      "Last-Event-ID": streamPositionSchema.optional().openapi({
        description: "The `id` of the last message that was received; the stream goes on after it.",
        example: "0-41",
      }),
    }),
  },
  responses: {
    200: {
      description: "Messages `event`, whose `data` is a `StreamedEvent` in one line, until the client leaves.",
      content: {
        "text/event-stream": {
          schema: z.string().openapi({ description: "Server-sent events in UTF-8.", example: exampleStream }),
        },
      },
    },
    ...problemResponses([400, 500, 503], {
      400: "A parameter is wrong, or the log no longer holds what follows the position (`stream_position_expired`).",
      503: "Too many streams are open, or the server is shutting down. Try again after the seconds in `Retry-After`.",
    }),
  },
});
