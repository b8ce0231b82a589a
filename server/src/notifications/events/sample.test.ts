import { invoiceSchema, notificationEventSchema } from "@tallystick/contract";
import { describe, expect, test } from "vitest";
import { Decimal } from "../../kernel/decimal.ts";
import { instantFromMillis } from "../../kernel/instant.ts";
import type { Rule } from "../rules/rule.ts";
import { sampleEvent } from "./sample.ts";

const ID = "01JSAMP1E0000000000000EVE0";
const AT = instantFromMillis(Date.UTC(2026, 1, 1, 12, 30, 15, 250));

function sampleOf(type: Rule["type"]) {
  const thresholds =
    type === "entitlements.balance.threshold" ? [{ type: "usage_value", value: Decimal.one } as const] : [];
  const rule = {
    id: ID,
    type,
    name: "rule",
    isDisabled: false,
    channels: [ID],
    features: [],
    thresholds,
    metadata: null,
  };
  return sampleEvent({ ...rule, createdAt: AT, updatedAt: AT, deletedAt: null }, ID, AT);
}

const decimal = (text: string): Decimal => Decimal.of(text);

describe.each(["invoice.created", "invoice.updated"] as const)("the sample of %s", (type) => {
  const { data, annotations } = sampleOf(type);
  const raw: unknown = JSON.parse(data);
  const invoice = invoiceSchema.parse(raw);
  const lines = invoice.lines ?? [];
  const details = lines.flatMap(({ children }) => children ?? []);

  test("is an invoice of the contract and has nothing that the contract does not know", () => {
    expect(invoice).toEqual(raw);
    expect(
      notificationEventSchema.shape.payload.parse({ id: ID, type, timestamp: "2026-02-01T12:30:15Z", data: raw }),
    ).toEqual({ id: ID, type, timestamp: "2026-02-01T12:30:15Z", data: raw });
    expect(annotations).toMatchObject({ "event.invoice.id": invoice.id, "event.invoice.number": invoice.number });
  });

  test("adds up", () => {
    expect(lines).toHaveLength(2);
    for (const totals of [invoice, ...lines, ...details].map((part) => part.totals)) {
      const added = decimal(totals.amount).plus(decimal(totals.chargesTotal)).plus(decimal(totals.taxesExclusiveTotal));
      const total = added.minus(decimal(totals.discountsTotal)).minus(decimal(totals.creditsTotal));
      expect(total.toString()).toBe(totals.total);
    }
    for (const parts of [lines, details]) {
      for (const field of ["amount", "discountsTotal", "total"] as const) {
        const sum = parts.reduce((so, part) => so.plus(decimal(part.totals[field])), Decimal.zero);
        expect(sum.toString()).toBe(invoice.totals[field]);
      }
    }
    for (const { quantity, perUnitAmount, totals } of details) {
      expect(
        decimal(quantity ?? "")
          .times(decimal(perUnitAmount ?? ""))
          .toString(),
      ).toBe(totals.amount);
    }
  });

  test("has a status that is the beginning of the detailed one, and dates in whole seconds", () => {
    expect(invoice.statusDetails.extendedStatus.split(".")[0]).toBe(invoice.status);
    expect(data).not.toMatch(/:\d\d\.\d+Z/);
    expect(new Set([...lines, ...details, invoice].map(({ id }) => id)).size).toBe(5);
  });
});

test("an invoice is told when it is created as a draft, and when it is updated as issued at that time", () => {
  const created = invoiceSchema.parse(JSON.parse(sampleOf("invoice.created").data));
  const updated = invoiceSchema.parse(JSON.parse(sampleOf("invoice.updated").data));
  expect(created).toMatchObject({
    status: "draft",
    createdAt: "2026-02-01T12:30:15Z",
    collectionAt: "2026-02-01T13:30:15Z",
    draftUntil: "2026-02-02T13:30:15Z",
    dueAt: "2026-03-04T13:30:15Z",
  });
  expect(created.issuedAt).toBeUndefined();
  expect(updated).toMatchObject({
    status: "issued",
    createdAt: "2026-01-31T11:30:15Z",
    draftUntil: "2026-02-01T12:30:15Z",
    issuedAt: "2026-02-01T12:30:15Z",
  });
  expect(updated.number).toBe(created.number);
});
