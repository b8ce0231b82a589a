/**
 * A made-up invoice for trying out rules of invoices: complete and consistent, as real ones are, and plainly not real.
 *
 * It bills a fee and discounted usage of 30 days. `invoice.created` carries the draft that was just made, `invoice.updated`
 * the same invoice when it is issued. Its sums add up and its dates follow from its workflow's settings.
 */

import type { InvoiceBody } from "@tallystick/contract";
import { formatInstant, type Instant, plusMicros } from "../../kernel/instant.ts";

const INVOICE_ID = "01JSAMP1E000000000JNV01CE0";
const INVOICE_NUMBER = "SAMPLE-1";
const PROFILE_ID = "01JSAMP1E000000000PR0F1JE0";
const APP_ID = "01JSAMP1E00000000000000APP";
const FEE_ID = "01JSAMP1E000000000000FEE00";
const FEE_DETAIL_ID = "01JSAMP1E000000000000FEE01";
const USAGE_ID = "01JSAMP1E0000000000VSAGE00";
const USAGE_DETAIL_ID = "01JSAMP1E0000000000VSAGE01";
const DISCOUNT_ID = "01JSAMP1E000000000D1SC0VNT";
const CORRELATION_ID = "01JSAMP1E0000000C0RRE1AT10";

const SECOND = 1_000_000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

const FEE_PRICE = { type: "flat", amount: "20", paymentTerm: "in_arrears" } as const;
const USAGE_PRICE = { type: "unit", amount: "0.002" } as const;
/** 12500 units of 0.002. */
const USAGE = { quantity: "12500", amount: "25", discount: "3", total: "22" };

type Totals = InvoiceBody["totals"];
type Line = NonNullable<InvoiceBody["lines"]>[number];
type DetailedLine = NonNullable<Line["children"]>[number];
/** What a line and its only detailed line have in common. */
type SharedFields = Pick<Line, "createdAt" | "updatedAt" | "currency" | "period" | "invoiceAt">;

/** The invoice as a rule of this type tells of it at that time. */
export function sampleInvoice(type: string, at: Instant, customer: { id: string; key: string }): InvoiceBody {
  const isIssued = type === "invoice.updated";
  const now = plusMicros(at, -(at % SECOND));
  const created = isIssued ? plusMicros(now, -(HOUR + DAY)) : now;
  const after = (micros: number): string => formatInstant(plusMicros(created, micros));
  const period = { from: after(-30 * DAY), to: after(0) };
  const shared = { createdAt: after(0), updatedAt: formatInstant(now), currency: "USD", period, invoiceAt: period.to };
  return {
    id: INVOICE_ID,
    type: "standard",
    number: INVOICE_NUMBER,
    description: "A sample, to try out a notification rule",
    currency: "USD",
    createdAt: shared.createdAt,
    updatedAt: shared.updatedAt,
    supplier: { name: "Sample supplier", addresses: [{ country: "US", city: "San Francisco", state: "CA" }] },
    customer: {
      ...customer,
      name: "Sample customer",
      addresses: [{ country: "US", city: "New York", state: "NY" }],
      usageAttribution: { subjectKeys: ["sample-subject"] },
    },
    totals: totals("45", USAGE.discount, "42"),
    ...(isIssued ? issued() : drafted()),
    // The workflow below: wait an hour for late events, review for a day, pay within 30 days.
    collectionAt: after(HOUR),
    draftUntil: after(HOUR + DAY),
    dueAt: after(HOUR + DAY + 30 * DAY),
    ...(isIssued
      ? { quantitySnapshotedAt: after(HOUR), issuedAt: shared.updatedAt, sentToCustomerAt: shared.updatedAt }
      : {}),
    period,
    workflow: workflow(),
    lines: [feeLine(shared), usageLine(shared)],
  };
}

function drafted(): Pick<InvoiceBody, "status" | "statusDetails"> {
  const availableActions = {
    advance: { resultingState: "draft.waiting_for_collection" },
    delete: { resultingState: "deleted" },
  };
  return {
    status: "draft",
    statusDetails: { immutable: false, failed: false, extendedStatus: "draft.created", availableActions },
  };
}

function issued(): Pick<InvoiceBody, "status" | "statusDetails"> {
  const availableActions = {
    advance: { resultingState: "payment_processing.pending" },
    void: { resultingState: "voided" },
  };
  return {
    status: "issued",
    statusDetails: { immutable: true, failed: false, extendedStatus: "issued", availableActions },
  };
}

function workflow(): InvoiceBody["workflow"] {
  const app = { id: APP_ID };
  return {
    apps: { tax: app, invoicing: app, payment: app },
    sourceBillingProfileId: PROFILE_ID,
    workflow: {
      collection: { alignment: { type: "subscription" }, interval: "PT1H" },
      invoicing: {
        autoAdvance: true,
        draftPeriod: "P1D",
        dueAfter: "P30D",
        progressiveBilling: true,
        subscriptionEndProrationMode: "bill_actual_period",
      },
      payment: { collectionMethod: "charge_automatically" },
      tax: { enabled: true, enforced: false },
    },
  };
}

function totals(amount: string, discountsTotal: string, total: string): Totals {
  const tax = { taxesInclusiveTotal: "0", taxesExclusiveTotal: "0", taxesTotal: "0" };
  return { amount, chargesTotal: "0", discountsTotal, creditsTotal: "0", ...tax, total };
}

function feeLine(shared: SharedFields): Line {
  const fee = {
    ...shared,
    name: "Sample plan",
    managedBy: "manual",
    status: "detailed",
    totals: totals(FEE_PRICE.amount, "0", FEE_PRICE.amount),
    quantity: "1",
  } as const;
  const detail: DetailedLine = {
    ...fee,
    id: FEE_DETAIL_ID,
    type: "flat_fee",
    perUnitAmount: FEE_PRICE.amount,
    paymentTerm: FEE_PRICE.paymentTerm,
    rateCard: { price: FEE_PRICE, quantity: fee.quantity },
    category: "regular",
  };
  return {
    ...fee,
    id: FEE_ID,
    type: "usage_based",
    price: FEE_PRICE,
    rateCard: { price: FEE_PRICE },
    children: [detail],
    preLinePeriodQuantity: "0",
  };
}

function usageLine(shared: SharedFields): Line {
  const usage = {
    ...shared,
    managedBy: "manual",
    status: "detailed",
    totals: totals(USAGE.amount, USAGE.discount, USAGE.total),
    quantity: USAGE.quantity,
  } as const;
  const reason = { type: "ratecard_percentage", percentage: 12, correlationId: CORRELATION_ID } as const;
  const { createdAt, updatedAt } = shared;
  const unitPrice = { type: "flat", amount: USAGE_PRICE.amount, paymentTerm: "in_arrears" } as const;
  const detail: DetailedLine = {
    ...usage,
    name: "Sample usage: usage in period",
    id: USAGE_DETAIL_ID,
    type: "flat_fee",
    discounts: { amount: [{ id: DISCOUNT_ID, createdAt, updatedAt, reason, amount: USAGE.discount }] },
    perUnitAmount: unitPrice.amount,
    paymentTerm: unitPrice.paymentTerm,
    rateCard: { price: unitPrice, quantity: USAGE.quantity },
    category: "regular",
  };
  const discounts = { percentage: { percentage: reason.percentage, correlationId: CORRELATION_ID } };
  return {
    ...usage,
    name: "Sample usage",
    id: USAGE_ID,
    type: "usage_based",
    price: USAGE_PRICE,
    featureKey: "sample_feature",
    rateCard: { featureKey: "sample_feature", price: USAGE_PRICE, discounts },
    children: [detail],
    meteredQuantity: USAGE.quantity,
    preLinePeriodQuantity: "0",
    meteredPreLinePeriodQuantity: "0",
  };
}
