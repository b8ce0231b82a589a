/** Checks answers against the contract's own declarations, so that no test has to repeat their shape. */

import { type Problem, problemSchema, routes } from "@tallystick/contract";
import { expect } from "vitest";
import type { z } from "zod";

interface AnswerText {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Statuses that any route may answer with before its handler runs. */
const GENERAL_STATUSES: readonly number[] = [404, 405, 413];

type Route = (typeof routes)[number];

function routeOf(method: string, path: string): Route | undefined {
  const [pathname = ""] = path.split("?");
  return routes.find((route) => {
    const pattern = route.path.replaceAll(/\{\w+\}/g, "[^/]+");
    return route.method === method.toLowerCase() && new RegExp(`^${pattern}$`).test(pathname);
  });
}

/** Fails when the answer is not one that the route declares. */
export function checkAnswer(method: string, path: string, answer: AnswerText): void {
  if (answer.status >= 400) checkProblem(answer);
  const route = routeOf(method, path);
  if (route === undefined) return;
  const declared = Object.keys(route.responses).map(Number);
  expect([...declared, ...GENERAL_STATUSES], `${method} ${path}: ${answer.text}`).toContain(answer.status);
  if (answer.status === 204) expect(answer.text).toBe("");
  if (answer.status !== 200 && answer.status !== 201) return;
  const contentType = answer.headers.get("content-type") ?? "";
  const media = contentOf(route, answer.status)[contentType.split(";", 1)[0] ?? ""];
  expect(media, `${method} ${path} declares ${contentType}`).toBeDefined();
  if (contentType !== "application/json") return;
  const body: unknown = JSON.parse(answer.text);
  // Schemas drop what they do not know: an undeclared field shows as a difference.
  expect(schemaOf(media).parse(body)).toEqual(body);
}

function contentOf(route: Route, status: 200 | 201): Readonly<Record<string, unknown>> {
  const response = route.responses[status];
  return response !== undefined && "content" in response ? (response.content ?? {}) : {};
}

function schemaOf(media: unknown): z.ZodType {
  return (media as { readonly schema: z.ZodType }).schema;
}

function checkProblem(answer: AnswerText): void {
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  const body: unknown = JSON.parse(answer.text);
  const problem: Problem = problemSchema.parse(body);
  expect(problem).toEqual(body);
  expect(problem.status).toBe(answer.status);
  expect(problem.type).toBe("about:blank");
  expect(problem.title).not.toBe("");
  expect(problem.detail).not.toBe("");
  expect(problem.instance).toMatch(/^urn:request:[\x21-\x7e]+$/);
  const { extensions } = problem;
  if (extensions !== undefined) expect(Object.keys(extensions)).not.toEqual([]);
  expect(extensions?.validationErrors).not.toEqual([]);
}
