/**
 * Problems: the one shape of every error answer (RFC 9457, `application/problem+json`).
 *
 * All members but `extensions` are always sent, also for unknown routes and wrong methods, because clients show `detail`
 * and fall back to a meaningless sentence without it.
 */
import { z } from "@hono/zod-openapi";

export const validationErrorSchema = z
  .object({
    code: z.string().openapi({
      description: "Stable name of the violation, for programs to compare.",
      example: "invalid_event",
    }),
    message: z.string().openapi({
      description: "One sentence for people: what is wrong and what to send instead.",
      example: '"subject" is missing; send a string',
    }),
    severity: z.enum(["critical", "warning"]).optional().openapi({
      description: "`critical` made the request fail; a `warning` only accompanies it.",
    }),
    field: z.string().optional().openapi({
      description: "JSONPath of the field in the request body. `$[3].subject` is the subject of the fourth event.",
      example: "$[3].subject",
    }),
  })
  .openapi("ValidationError", { description: "One violation of the rules of a request." });

export const problemSchema = z
  .object({
    type: z.string().openapi({
      description: "URI of the kind of problem; `about:blank` when the status says everything.",
      format: "uri",
      default: "about:blank",
      example: "about:blank",
    }),
    title: z.string().openapi({
      description: "Standard reason phrase of the HTTP status.",
      example: "Bad Request",
    }),
    status: z.int().min(400).max(599).openapi({
      description: "HTTP status of the answer, repeated for readers that see only the body.",
      example: 400,
    }),
    detail: z.string().openapi({
      description: "What happened, in words that name the field and the fix.",
      example: '"limit" must be at most 100',
    }),
    instance: z.string().openapi({
      description:
        "`urn:request:` and the id of this request: the value of the `X-Request-Id` header, or one that the server made. " +
        "The same id stands in the server's log.",
      format: "uri",
      example: "urn:request:0b9c2a54-5c1e-4f0e-9a67-2f3c3f7c1a55",
    }),
    extensions: z
      .object({
        validationErrors: z.array(validationErrorSchema).optional().openapi({
          description: "Every violation found, not only the first.",
        }),
      })
      .loose()
      .optional()
      .openapi({ description: "Machine-readable details; absent when there are none." }),
  })
  .openapi("Problem", { description: "Why a request was not answered as asked (RFC 9457)." });

/** The body of an error answer. */
export type Problem = z.output<typeof problemSchema>;

const PROBLEMS = {
  400: "The request violates a rule. `detail` names the field and the fix; nothing was changed.",
  401: "The request lacks valid credentials. `detail` says what is wrong with them.",
  403: "The request is understood and not allowed. `detail` says why.",
  404: "The resource that the path or a filter names does not exist.",
  409: "The request contradicts the present state of the resource.",
  412: "Something that the request needs is deleted or missing. `detail` names it.",
  413: "The request body is larger than the server accepts.",
  429: "Too many requests. Try again after the seconds in `Retry-After`.",
  500: "The server failed. The cause is in its log under the request id; it is never shown here.",
  501: "The feature is switched off by the configuration.",
  503: "The server cannot take the request at the moment. Try again after the seconds in `Retry-After`.",
} as const;

type ProblemStatus = keyof typeof PROBLEMS;

interface ProblemResponse {
  description: string;
  content: { "application/problem+json": { schema: typeof problemSchema } };
}

/** `responses` entries for the given statuses; `meanings` replaces the general description of a status. */
export function problemResponses<Status extends ProblemStatus>(
  statuses: readonly Status[],
  meanings: Partial<Record<Status, string>> = {},
): Record<Status, ProblemResponse> {
  const entries = statuses.map((status) => [
    status,
    {
      description: meanings[status] ?? PROBLEMS[status],
      content: { "application/problem+json": { schema: problemSchema } },
    },
  ]);
  return Object.fromEntries(entries) as Record<Status, ProblemResponse>;
}
