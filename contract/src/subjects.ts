/**
 * Subjects as entities: what is known about whoever caused usage, besides the text that events carry.
 *
 * Events need no entity: every subject that events name counts. An entity only adds what events do not say, such as a name
 * for people. It is found by its key, the `subject` of events, or by its id.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { problemResponses } from "./problem.ts";

const key = z.string().openapi({
  description: "The `subject` of its events, 1 to 1024 bytes. Unique among subjects that are not deleted.",
  example: "customer-1",
});

const displayName = z
  .string()
  .nullable()
  .optional()
  .openapi({ description: "Name for people; null is none.", example: "ACME Inc." });

const metadata = z
  .record(z.string(), z.unknown())
  .nullable()
  .optional()
  .openapi({
    additionalProperties: true,
    description:
      "Your own notes: any JSON values by key; null is none. Tallystick stores and returns them and nothing else.",
    example: { hubspotId: "123456" },
  });

const currentPeriodStart = timestampSchema("Start of the present billing period, as you keep it.")
  .optional()
  .openapi({ deprecated: true });

const currentPeriodEnd = timestampSchema("End of the present billing period, as you keep it.", "2026-02-15T10:00:00Z")
  .optional()
  .openapi({ deprecated: true });

const stripeCustomerId = z.string().nullable().optional().openapi({
  description: "Id of the customer in Stripe, starting with `cus_`; null is none.",
  example: "cus_JMOlctsKV8",
  deprecated: true,
});

const changeable = { displayName, metadata, currentPeriodStart, currentPeriodEnd, stripeCustomerId };

export const subjectSchema = z
  .object({
    id: ulidSchema("Id of the subject, made by the server.").openapi({ readOnly: true }),
    key,
    ...changeable,
    createdAt: timestampSchema("When the subject was created.").openapi({ readOnly: true }),
    updatedAt: timestampSchema("When the subject was last changed.").openapi({ readOnly: true }),
    deletedAt: timestampSchema("When the subject was deleted; absent while it exists.", "2026-03-01T00:00:00Z")
      .optional()
      .openapi({ readOnly: true }),
  })
  .openapi("Subject", { description: "What is known about a subject of events.", deprecated: true });

/** A subject as answered. */
export type Subject = z.output<typeof subjectSchema>;

export const subjectUpsertSchema = z.object({ key, ...changeable }).openapi("SubjectUpsert", {
  description:
    "A subject to create, or to change if one has the key. What is left out stays as it is, null clears. Unknown and " +
    "read-only fields are ignored.",
  deprecated: true,
});

/** A subject to create or change as requested; a property that was left out is undefined. */
export type SubjectUpsert = z.output<typeof subjectUpsertSchema>;

/** Path parameters of every operation on one subject. */
export const subjectParamsSchema = z.object({
  subjectIdOrKey: z.string().openapi({
    description: "Id or key of the subject. A deleted subject is found by id only.",
    example: "customer-1",
  }),
});

export const listSubjectsRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects",
  operationId: "listSubjects",
  tags: ["Subjects"],
  summary: "List subjects",
  description: "All subjects that exist as entities, sorted by key. Subjects that only events name are not among them.",
  deprecated: true,
  responses: {
    200: { description: "The subjects.", content: { "application/json": { schema: z.array(subjectSchema) } } },
    ...problemResponses([400, 500, 503]),
  },
});

export const upsertSubjectRoute = createRoute({
  method: "post",
  path: "/api/v1/subjects",
  operationId: "upsertSubject",
  tags: ["Subjects"],
  summary: "Create or change subjects",
  description:
    "Creates each subject, or changes the one that has its key. Only the properties that are sent change; null clears. All " +
    "subjects of the request are written, or none.",
  deprecated: true,
  request: {
    body: {
      required: true,
      description: "The subjects, at most 1,000.",
      content: {
        "application/json": {
          // They are one transaction, for which everything else that is written waits.
          schema: z.array(subjectUpsertSchema).max(1_000),
          example: [{ key: "customer-1", displayName: "ACME Inc." }],
        },
      },
    },
  },
  responses: {
    200: {
      description: "The subjects as they are now, in the order of the request.",
      content: { "application/json": { schema: z.array(subjectSchema) } },
    },
    ...problemResponses([400, 413, 500, 503]),
  },
});

export const getSubjectRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects/{subjectIdOrKey}",
  operationId: "getSubject",
  tags: ["Subjects"],
  summary: "Get a subject",
  description: "One subject. Asked for by id, a deleted subject is answered too, with `deletedAt`.",
  deprecated: true,
  request: { params: subjectParamsSchema },
  responses: {
    200: { description: "The subject.", content: { "application/json": { schema: subjectSchema } } },
    ...problemResponses([400, 404, 500, 503], { 404: "There is no such subject." }),
  },
});

export const deleteSubjectRoute = createRoute({
  method: "delete",
  path: "/api/v1/subjects/{subjectIdOrKey}",
  operationId: "deleteSubject",
  tags: ["Subjects"],
  summary: "Delete a subject",
  description:
    "Deletes what is known about a subject; its events stay and count as before. The key is free again. Deleting a subject " +
    "that does not exist has no effect and is answered with 204.",
  deprecated: true,
  request: { params: subjectParamsSchema },
  responses: {
    204: { description: "There is no such subject any more." },
    ...problemResponses([400, 500, 503]),
  },
});
