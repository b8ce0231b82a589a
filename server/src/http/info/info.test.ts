import type { OperationReply } from "@tallystick/contract";
import { expect, test } from "vitest";
import { assert } from "../../kernel/assert.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { type Instant, parseInstant } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import { type InfoOptions, infoOperations } from "./info.ts";

function at(text: string): Instant {
  const instant = parseInstant(text);
  assert(instant !== null, "the test names instants in RFC 3339");
  return instant;
}

/** The answer of an operation. */
async function ask(operationId: string, options: Partial<InfoOptions>, params: unknown = {}): Promise<OperationReply> {
  const operations = infoOperations({
    clock: new ManualClock(at("2026-03-01T12:00:00Z")),
    countBySubject: async () => [],
    progress: async () => null,
    ...options,
  });
  const operation = operations.find(({ route }) => route.operationId === operationId);
  assert(operation !== undefined, "the operation exists");
  return await operation.handle({ params, query: undefined, body: undefined, header: () => undefined } as never);
}

test.each([
  ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"],
  ["2026-03-01T23:59:59.999999Z", "2026-03-01T00:00:00Z"],
  ["1969-12-31T23:59:59.999999Z", "1969-12-31T00:00:00Z"],
])("at %s the events since %s count", async (now, midnight) => {
  const periods: Period[] = [];
  const countBySubject = async (period: Period) => {
    periods.push(period);
    return [];
  };
  await ask("getDebugMetrics", { clock: new ManualClock(at(now)), countBySubject });
  expect(periods).toEqual([{ from: at(midnight), to: at(midnight) + 86_400_000_000 }]);
});

test("counts are one counter family with escaped labels and no closing line", async () => {
  const subjects = ["a", 'b"\\\nc', "\\n", "😀", ""];
  const countBySubject = async () => subjects.map((subject, index) => ({ subject, events: index + 1 }));
  expect(await ask("getDebugMetrics", { countBySubject })).toEqual({
    status: 200,
    contentType: "text/plain",
    body: [
      "# TYPE openmeter_events counter",
      "# HELP openmeter_events Stored events whose time lies in the current day (UTC).",
      'openmeter_events_total{subject="a"} 1',
      String.raw`openmeter_events_total{subject="b\"\\\nc"} 2`,
      String.raw`openmeter_events_total{subject="\\n"} 3`,
      'openmeter_events_total{subject="😀"} 4',
      'openmeter_events_total{subject=""} 5',
      "",
    ].join("\n"),
  });
});

test("progress is told in the words of the contract, or not found", async () => {
  const progress = async (id: string) =>
    id === "known" ? { read: 3, failed: 4, total: 7, updatedAt: at("2026-03-01T00:00:00.5Z") } : null;
  const reply = await ask("getProgress", { progress }, { id: "known" });
  expect(JSON.parse(reply.body ?? "")).toEqual({
    success: 3,
    failed: 4,
    total: 7,
    updatedAt: "2026-03-01T00:00:00.5Z",
  });
  await expect(ask("getProgress", { progress }, { id: "other" })).rejects.toMatchObject({
    kind: "not_found",
    code: "progress_not_found",
  });
});
