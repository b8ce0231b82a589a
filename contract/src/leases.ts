/**
 * Leases: lending a slice of a balance to a caller that enforces it locally for a short time.
 *
 * The holder sends ordinary events for what it uses. Until it reports what it used, its whole grant stays held although its
 * events already count, so the limit is never exceeded. `reservations.ts` has the holds of single pieces of work.
 */
import { createRoute, type RouteConfig, z } from "@hono/zod-openapi";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import {
  amountSchema,
  confirmReservationRoute,
  createReservationRoute,
  getReservationRoute,
  holdProblems,
  holdsParamsSchema,
  lengthOfTimeSchema,
  listReservationsRoute,
  releaseReservationRoute,
  standingMembers,
} from "./reservations.ts";

const leaseParamsSchema = holdsParamsSchema.extend({
  leaseId: z.string().openapi({ description: "Id of the lease.", example: "01G65Z755AFWAKHE12NY0CQ9FH" }),
});

const leaseStatusSchema = z.enum(["held", "returned", "expired"]).openapi("LeaseStatus", {
  description:
    "`held`: the holder may use what it was granted. `returned`: it gave the rest back. `expired`: it did neither return nor " +
    "renew it in time.",
  example: "held",
});

export const leaseSchema = z
  .object({
    id: ulidSchema("Id of the lease, made by the server."),
    granted: z
      .number()
      .openapi({ format: "double", description: "Everything granted under the lease so far.", example: 500 }),
    consumed: z
      .number()
      .openapi({ format: "double", description: "What the holder said to have used under it so far.", example: 0 }),
    status: leaseStatusSchema,
    expiresAt: timestampSchema(
      "Nothing may be used under the lease after this instant. Events for what was used must be acknowledged before it has " +
        "passed by `leases.grace`, by default 10 seconds.",
      "2026-01-15T10:00:30Z",
    ),
    ...standingMembers,
  })
  .openapi("Lease", { description: "A slice of a balance that one holder spends by itself." });

/** A lease as answered. */
export type Lease = z.output<typeof leaseSchema>;

const ttl = lengthOfTimeSchema("How long the lease lasts from now, from PT1S to PT10M.", "PT30S");

const consumed = amountSchema({
  description: "Everything used under the lease so far, in all; never less than what was said before.",
  example: 320,
});

export const leaseCreateSchema = z
  .object({
    amount: amountSchema({
      description: "How much to lend at most, more than 0: a number, or its decimal text.",
      example: 500,
    }),
    minAmount: amountSchema({
      description: "The least that is of use; if less is available, nothing is lent. Default: 0.",
      example: 50,
    }).optional(),
    ttl: ttl.default("PT30S"),
  })
  .openapi("LeaseCreate", { description: "A slice to lend." });

export const leaseRenewSchema = z
  .object({
    consumed,
    amount: amountSchema({
      description: "How much to lend on top of what is left, at most. Default: nothing.",
      example: 500,
    }).optional(),
    ttl: ttl
      .optional()
      .openapi({ description: "How long the lease lasts from now, from PT1S to PT10M. Default: as before." }),
  })
  .openapi("LeaseRenew", { description: "What was used, and what is wanted on top." });

export const leaseReturnSchema = z
  .object({ consumed })
  .openapi("LeaseReturn", { description: "What was used in all." });

const TAG = ["Reservations"];
const BASE = "/api/v1/customers/{customerIdOrKey}/entitlements/{featureKey}/leases";

function leaseAnswer(description: string) {
  return { description, content: { "application/json": { schema: leaseSchema } } };
}

export const createLeaseRoute = createRoute({
  method: "post",
  path: BASE,
  operationId: "createLease",
  tags: TAG,
  summary: "Lease a slice of a balance",
  description:
    "Lends up to `amount` of what is available to a caller that enforces it by itself, which saves it a call per piece of " +
    "work. The holder sends ordinary events for what it uses.",
  request: {
    params: holdsParamsSchema,
    body: {
      required: true,
      description: "The slice.",
      content: { "application/json": { schema: leaseCreateSchema, example: { amount: 500, minAmount: 50 } } },
    },
  },
  responses: {
    201: leaseAnswer("What was granted, which may be less than was asked for."),
    ...holdProblems("`insufficient_balance`: less than `minAmount` is available; nothing is lent."),
  },
});

export const renewLeaseRoute = createRoute({
  method: "post",
  path: `${BASE}/{leaseId}/renew`,
  operationId: "renewLease",
  tags: TAG,
  summary: "Renew a lease",
  description:
    "Reports what was used, lends more if asked to, and begins the time of the lease anew. What was used stays held until the " +
    "events that were acknowledged before this call count, so send them first.",
  request: {
    params: leaseParamsSchema,
    body: {
      required: true,
      description: "What was used.",
      content: { "application/json": { schema: leaseRenewSchema, example: { consumed: 320, amount: 500 } } },
    },
  },
  responses: {
    200: leaseAnswer("The lease as it is now; `granted` less `consumed` may be used."),
    ...holdProblems("`lease_not_held`: the lease was returned or has expired; take a new one."),
  },
});

export const returnLeaseRoute = createRoute({
  method: "post",
  path: `${BASE}/{leaseId}/return`,
  operationId: "returnLease",
  tags: TAG,
  summary: "Return a lease",
  description:
    "Ends a lease; what is left of it is available again at once, and what was used as soon as its events count. Safe to " +
    "repeat; an expired lease stays expired.",
  request: {
    params: leaseParamsSchema,
    body: {
      required: true,
      description: "What was used.",
      content: { "application/json": { schema: leaseReturnSchema, example: { consumed: 410 } } },
    },
  },
  responses: { 200: leaseAnswer("The lease as it ended."), ...holdProblems("The lease changed meanwhile.") },
});

/** Every operation on reservations and leases, in the order of the reference page. */
export const holdRoutes: readonly RouteConfig[] = [
  createReservationRoute,
  listReservationsRoute,
  getReservationRoute,
  confirmReservationRoute,
  releaseReservationRoute,
  createLeaseRoute,
  renewLeaseRoute,
  returnLeaseRoute,
];
