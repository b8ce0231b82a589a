/** Subjects over HTTP: decode, call the verb, encode. */

import {
  deleteSubjectRoute,
  getSubjectRoute,
  jsonReply,
  listSubjectsRoute,
  type Operation,
  operation,
  type Subject as SubjectBody,
  type SubjectUpsert,
  upsertSubjectRoute,
} from "@tallystick/contract";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant, type Instant, parseInstant } from "../../kernel/instant.ts";
import type { SubjectService } from "./subject-service.ts";
import type { Subject, SubjectDraft } from "./subject.ts";

export function subjectOperations(subjects: SubjectService): readonly Operation[] {
  return [
    operation(listSubjectsRoute, async () => jsonReply((await subjects.list()).map(subjectBody))),
    operation(upsertSubjectRoute, async ({ body }) =>
      jsonReply((await subjects.upsert(body.map(subjectDraft))).map(subjectBody)),
    ),
    operation(getSubjectRoute, async ({ params }) => jsonReply(subjectBody(await subjects.get(params.subjectIdOrKey)))),
    operation(deleteSubjectRoute, async ({ params }) => {
      await subjects.delete(params.subjectIdOrKey);
      return { status: 204 };
    }),
  ];
}

function subjectDraft(body: SubjectUpsert, index: number): SubjectDraft {
  return {
    ...body,
    currentPeriodStart: instant(body.currentPeriodStart, `$[${index}].currentPeriodStart`),
    currentPeriodEnd: instant(body.currentPeriodEnd, `$[${index}].currentPeriodEnd`),
  };
}

function instant(text: string | undefined, field: string): Instant | undefined {
  if (text === undefined) return undefined;
  const parsed = parseInstant(text);
  if (parsed !== null) return parsed;
  const message = `${field.slice(2)} must be an RFC 3339 date-time with offset, such as 2026-01-31T00:00:00Z`;
  throw new Fault("validation", "invalid_time", message, { fields: [{ code: "invalid_time", message, field }] });
}

/** The subject as the API answers it. */
export function subjectBody(subject: Subject): SubjectBody {
  const { displayName, metadata, stripeCustomerId, currentPeriodStart, currentPeriodEnd, deletedAt } = subject;
  return {
    id: subject.id,
    key: subject.key,
    ...(displayName === null ? {} : { displayName }),
    ...(metadata === null ? {} : { metadata }),
    ...(currentPeriodStart === null ? {} : { currentPeriodStart: formatInstant(currentPeriodStart) }),
    ...(currentPeriodEnd === null ? {} : { currentPeriodEnd: formatInstant(currentPeriodEnd) }),
    ...(stripeCustomerId === null ? {} : { stripeCustomerId }),
    createdAt: formatInstant(subject.createdAt),
    updatedAt: formatInstant(subject.updatedAt),
    ...(deletedAt === null ? {} : { deletedAt: formatInstant(deletedAt) }),
  };
}
