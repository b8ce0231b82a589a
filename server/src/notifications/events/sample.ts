/** Made-up data for trying out a rule: of the shape of the real thing, and plainly not real. */

import { exactNumber } from "@tallystick/contract";
import { Decimal } from "../../kernel/decimal.ts";
import { formatInstant, type Instant, plusMicros } from "../../kernel/instant.ts";
import { type Rule, thresholdBody } from "../rules/rule.ts";
import { isExceeded, type Threshold } from "../thresholds/selection.ts";
import type { EventDraft } from "./emission-store.ts";
import { type BalanceValue, entitlementAnnotations, entitlementData, type EntitlementFacts } from "./facts.ts";
import { sampleInvoice } from "./sample-invoice.ts";

const ENTITLEMENT_ID = "01JSAMP1E0000000ENT1T1EMEN";
const FEATURE_ID = "01JSAMP1E000000000FEATVRE0";
const SUBJECT_ID = "01JSAMP1E000000000SVBJECT0";
const CUSTOMER_ID = "01JSAMP1E00000000CVST0MER0";
const CUSTOMER_KEY = "sample-customer";
const DAY = 86_400_000_000;
const ONE = Decimal.one;
const HUNDRED = Decimal.fromInteger(100);

/** An event that looks as if the rule had told something; it is marked as a test and can be repeated. */
export function sampleEvent(rule: Rule, id: string, at: Instant): EventDraft {
  const test = { "notification.rule.test": true };
  if (rule.type === "invoice.created" || rule.type === "invoice.updated") {
    const invoice = sampleInvoice(rule.type, at, { id: CUSTOMER_ID, key: CUSTOMER_KEY });
    const annotations = { "event.invoice.id": invoice.id, "event.invoice.number": invoice.number, ...test };
    const nothing = { feature: null, subject: null, dedupeKey: null };
    return { id, at, data: JSON.stringify(invoice), annotations, ...nothing };
  }
  const facts = sampleFacts(rule, at);
  const [threshold] = rule.thresholds;
  const extra = threshold === undefined ? "" : `,"threshold":${JSON.stringify(thresholdBody(threshold))}`;
  return {
    id,
    at,
    data: entitlementData(facts, sampleValue(threshold), extra),
    annotations: { ...entitlementAnnotations(facts), ...test },
    feature: facts.feature,
    subject: facts.subject,
    dedupeKey: null,
  };
}

function sampleFacts(rule: Rule, at: Instant): EntitlementFacts {
  const [first] = rule.features;
  const feature = { id: first?.id ?? FEATURE_ID, key: first?.key ?? "sample_feature" };
  const subject = { id: SUBJECT_ID, key: "sample-subject" };
  const customer = { id: CUSTOMER_ID, key: CUSTOMER_KEY };
  const start = formatInstant(plusMicros(at, -10 * DAY));
  const times = { createdAt: start, updatedAt: start };
  const entitlement = {
    type: "metered",
    id: ENTITLEMENT_ID,
    ...times,
    activeFrom: start,
    subjectKey: subject.key,
    featureKey: feature.key,
    featureId: feature.id,
    isSoftLimit: false,
    isUnlimited: false,
    preserveOverageAtReset: false,
    issueAfterReset: exactNumber("100"),
    issueAfterResetPriority: 1,
    lastReset: start,
    measureUsageFrom: start,
    currentUsagePeriod: { from: start, to: formatInstant(plusMicros(at, 20 * DAY)) },
    usagePeriod: { interval: "MONTH", intervalISO: "P1M", anchor: start },
  };
  return {
    feature,
    subject,
    customer,
    bodies: {
      entitlement: JSON.stringify(entitlement),
      feature: JSON.stringify({ ...feature, name: "Sample feature", meterSlug: "sample_meter", ...times }),
      subject: JSON.stringify({ ...subject, displayName: "Sample subject", ...times }),
      customer: JSON.stringify({
        ...customer,
        name: "Sample customer",
        usageAttribution: { subjectKeys: [subject.key] },
        ...times,
      }),
    },
  };
}

/** A value just beyond the threshold; at the start of a period without one. */
function sampleValue(threshold: Threshold | undefined): BalanceValue {
  const value = (usage: Decimal, granted: Decimal): BalanceValue => {
    const left = granted.minus(usage);
    const balance = left.isNegative() ? Decimal.zero : left;
    const overage = left.isNegative() ? left.negate() : Decimal.zero;
    const covered = granted.minus(balance);
    const total = covered.plus(balance);
    return { hasAccess: balance.isPositive(), balance, usage, overage, totalAvailableGrantAmount: total };
  };
  if (threshold === undefined) return value(Decimal.zero, HUNDRED);
  const candidates =
    threshold.type === "balance_value"
      ? [value(HUNDRED, HUNDRED.plus(threshold.value.minus(ONE))), value(HUNDRED, HUNDRED)]
      : [value(threshold.value.plus(ONE), threshold.value.plus(HUNDRED)), value(threshold.value.plus(ONE), HUNDRED)];
  return candidates.find((one) => isExceeded(threshold, one)) ?? value(HUNDRED, HUNDRED);
}
