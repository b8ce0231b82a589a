/**
 * Reservations: holding an amount of a balance before the work is done, so that callers at once cannot spend more than
 * there is.
 *
 * Usage itself enters as events only. A hold is no usage; it keeps others from taking the same balance until the work is
 * confirmed, released, or the hold expires. `leases.ts` has the holds that lend a slice of a balance.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { ExactNumber, exactNumberSchema } from "./exact-number.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { metadataSchema } from "./meters.ts";
import { pageParameters } from "./pagination.ts";
import { problemResponses } from "./problem.ts";

const DECIMAL_TEXT = /^[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?$/;

/** An amount of a request: a JSON number, or its decimal text for clients whose numbers are floats; yields decimal text. */
export function amountSchema(documentation: { readonly description: string; readonly example?: number }) {
  const number = exactNumberSchema({ description: "The amount as a number.", minimum: 0 });
  const text = z
    .string()
    .regex(DECIMAL_TEXT)
    .transform((digits): unknown => new ExactNumber(digits))
    .pipe(number)
    .openapi({ type: "string", description: "The amount as decimal text.", example: "40.25" });
  return z.union([number, text]).openapi(documentation);
}

/** An amount of an answer: a JSON number with all of its digits. */
function amount(description: string, example?: number) {
  return z.number().openapi({ format: "double", description, ...(example === undefined ? {} : { example }) });
}

/** ISO 8601 text of a length of time; the server says what is wrong with another text. */
export function lengthOfTimeSchema(description: string, example: string) {
  return z.string().openapi({ format: "duration", description, example });
}

/** Members that tell what a hold leaves of the balance; part of most answers about holds. */
export const standingMembers = {
  balance: amount("Balance of the entitlement, which holds do not change.", 100),
  held: amount("Sum of the holds that are live, of reservations and leases, this one included.", 40),
  available: amount("What may still be reserved: the balance less what is held, never below 0.", 60),
};

/** Path parameters of everything about the holds of one entitlement. */
export const holdsParamsSchema = z.object({
  customerIdOrKey: z.string().openapi({ description: "Id or key of the customer.", example: "acme" }),
  featureKey: z
    .string()
    .openapi({ description: "Key of the feature of a metered entitlement of the customer.", example: "llm_tokens" }),
});

const reservationParamsSchema = holdsParamsSchema.extend({
  reservationId: z.string().openapi({ description: "Id of the reservation.", example: "01G65Z755AFWAKHE12NY0CQ9FH" }),
});

export const reservationStatusSchema = z
  .enum(["held", "confirmed", "released", "expired"])
  .openapi("ReservationStatus", {
    description:
      "`held`: the amount is kept for its caller. `confirmed`: the work was done. `released`: it was not. `expired`: nobody " +
      "said in time.",
    example: "held",
  });

const reservedAmount = amount("The amount that was reserved.", 40);

export const reservationSchema = z
  .object({
    id: ulidSchema("Id of the reservation, made by the server."),
    amount: reservedAmount,
    confirmedAmount: amount("The amount that was confirmed; absent unless confirmed.", 38.5).optional(),
    status: reservationStatusSchema,
    key: z.string().optional().openapi({ description: "The key that the caller gave, if any.", example: "job-17" }),
    metadata: metadataSchema.optional(),
    createdAt: timestampSchema("When the amount was reserved."),
    expiresAt: timestampSchema(
      "From this instant on the reservation holds nothing, unless it was confirmed.",
      "2026-01-15T10:05:00Z",
    ),
    endedAt: timestampSchema("When it was confirmed or released, or has expired; absent while held.").optional(),
  })
  .openapi("Reservation", { description: "An amount of a balance that is, or was, kept for one caller." });

/** A reservation as answered. */
export type Reservation = z.output<typeof reservationSchema>;

const madeReservationSchema = reservationSchema
  .extend(standingMembers)
  .openapi("MadeReservation", { description: "A reservation, and what is left of the balance." });

export const reservationCreateSchema = z
  .object({
    amount: amountSchema({ description: "How much to hold, more than 0: a number, or its decimal text.", example: 40 }),
    expiresIn: lengthOfTimeSchema("How long to hold it, from PT1S to PT24H.", "PT5M").default("PT5M"),
    key: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .openapi({
        description:
          "Makes the call safe to repeat: a second call with the same key and amount answers the first reservation with 200. " +
          "Unique per entitlement.",
        example: "job-17",
      }),
    metadata: metadataSchema.optional(),
  })
  .openapi("ReservationCreate", { description: "An amount to hold." });

const confirmEventSchema = z.record(z.string(), z.unknown()).openapi({
  additionalProperties: true,
  description:
    "The usage as a CloudEvent, accepted in the same call as if it had been sent to /api/v1/events. Left out members get " +
    "defaults: `id` the reservation's id, `source` `tallystick/reservations`, `type` the event type of the feature's meter, " +
    "`subject` the customer's first subject key, `specversion` 1.0, `time` now.",
  example: { type: "prompt", subject: "acme", data: { tokens: 38.5 } },
});

export const reservationConfirmSchema = z
  .object({
    amount: amountSchema({
      description: "How much the work took, less or more than was reserved. Default: the reserved amount.",
      example: 38.5,
    }).optional(),
    event: confirmEventSchema.optional(),
  })
  .openapi("ReservationConfirm", { description: "What the work took." });

export const heldValueSchema = z
  .object({
    hasAccess: z
      .boolean()
      .openapi({ description: "Whether the customer may use the feature: `available` is more than 0." }),
    balance: amount("What is left of the grants; holds do not change it.", 60).optional(),
    usage: amount("Usage since the start of the usage period.", 40).optional(),
    overage: amount("Usage that no grant covers.", 0).optional(),
    totalAvailableGrantAmount: amount("What grants covered and what is left of them, in this period.", 100).optional(),
    held: amount("Sum of the live holds.", 0).optional(),
    available: amount("The balance less what is held, never below 0.", 60).optional(),
  })
  .openapi("HeldEntitlementValue", {
    description:
      "The value of a metered entitlement with its holds; only `hasAccess`, false, when it is no longer active.",
  });

const TAG = ["Reservations"];
const BASE = "/api/v1/customers/{customerIdOrKey}/entitlements/{featureKey}";
const MISSING = "There is no such customer, active entitlement or hold.";
const DELETED = "The customer is deleted.";

/** What every operation on holds may be refused with; `conflict` says when 409 is answered. */
export function holdProblems(conflict: string) {
  return problemResponses([400, 404, 409, 412, 500, 503], { 404: MISSING, 409: conflict, 412: DELETED });
}

const reading = problemResponses([400, 404, 412, 500, 503], { 404: MISSING, 412: DELETED });

/** A JSON answer. */
function json<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } };
}

export const createReservationRoute = createRoute({
  method: "post",
  path: `${BASE}/reservations`,
  operationId: "createReservation",
  tags: TAG,
  summary: "Reserve an amount",
  description:
    "Holds an amount of a metered entitlement before the work is done. With a hard limit, no more is ever held and confirmed " +
    "than there is, however many callers reserve at once; with a soft limit the amount is always held. The reservation is " +
    "durable when this answers.",
  request: {
    params: holdsParamsSchema,
    body: {
      required: true,
      description: "The amount.",
      content: { "application/json": { schema: reservationCreateSchema, example: { amount: 40, key: "job-17" } } },
    },
  },
  responses: {
    200: json(
      "The key was used before for the same amount: the reservation of then, as it is now.",
      madeReservationSchema,
    ),
    201: json("The amount is held.", madeReservationSchema),
    ...holdProblems(
      "`insufficient_balance`: less is available, nothing is held; `extensions` has `balance`, `held`, `available` and " +
        "`requested`. `reservation_key_reused`: the key was used for another amount.",
    ),
  },
});

export const listReservationsRoute = createRoute({
  method: "get",
  path: `${BASE}/reservations`,
  operationId: "listReservations",
  tags: TAG,
  summary: "List reservations",
  description: "Reservations of the active entitlement, newest first. Those that ended are kept for 30 days.",
  request: {
    params: holdsParamsSchema,
    query: z.object({
      status: reservationStatusSchema.optional().openapi({ description: "Only reservations with this status." }),
      ...pageParameters,
    }),
  },
  responses: {
    200: json(
      "One page.",
      z
        .object({
          totalCount: z.int().openapi({ description: "Number of reservations on all pages.", example: 1 }),
          page: z.int().openapi({ description: "Number of this page, counted from 1.", example: 1 }),
          pageSize: z.int().openapi({ description: "Most items of a page.", example: 100 }),
          items: z.array(reservationSchema).openapi({ description: "The reservations of this page." }),
        })
        .openapi("ReservationPage", { description: "One page of reservations." }),
    ),
    ...reading,
  },
});

export const getReservationRoute = createRoute({
  method: "get",
  path: `${BASE}/reservations/{reservationId}`,
  operationId: "getReservation",
  tags: TAG,
  summary: "Get a reservation",
  description: "One reservation, whatever became of it. It is kept for 30 days after its end.",
  request: { params: reservationParamsSchema },
  responses: { 200: json("The reservation.", reservationSchema), ...reading },
});

const NOT_HELD =
  "`reservation_not_held`: it was released, has expired, or (for a release) was confirmed. An `event` that came with the " +
  "call is metered all the same.";

export const confirmReservationRoute = createRoute({
  method: "post",
  path: `${BASE}/reservations/{reservationId}/confirm`,
  operationId: "confirmReservation",
  tags: TAG,
  summary: "Confirm a reservation",
  description:
    "The work was done. With `event` the usage is accepted in the same call and the amount stays held until it counts, so " +
    "there is no instant in which neither is deducted; without one the caller sends its own events, and the amount stays held " +
    "until those acknowledged before this call count. Safe to repeat.",
  request: {
    params: reservationParamsSchema,
    body: {
      required: true,
      description: "What the work took; `{}` when it took what was reserved.",
      content: {
        "application/json": {
          schema: reservationConfirmSchema,
          example: { amount: 38.5, event: { type: "prompt", subject: "acme", data: { tokens: 38.5 } } },
        },
      },
    },
  },
  responses: { 200: json("The value of the entitlement.", heldValueSchema), ...holdProblems(NOT_HELD) },
});

export const releaseReservationRoute = createRoute({
  method: "post",
  path: `${BASE}/reservations/{reservationId}/release`,
  operationId: "releaseReservation",
  tags: TAG,
  summary: "Release a reservation",
  description:
    "The work was not done: the amount is available again. Safe to repeat; an expired reservation stays expired.",
  request: { params: reservationParamsSchema },
  responses: { 200: json("The value of the entitlement.", heldValueSchema), ...holdProblems(NOT_HELD) },
});
