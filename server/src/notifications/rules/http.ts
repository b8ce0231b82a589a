/** Rules over HTTP: decode, call the verb, encode. */

import {
  createNotificationRuleRoute,
  deleteNotificationRuleRoute,
  getNotificationRuleRoute,
  jsonReply,
  listNotificationRulesRoute,
  type NotificationRuleCreate,
  type Operation,
  operation,
  updateNotificationRuleRoute,
} from "@tallystick/contract";
import { Decimal } from "../../kernel/decimal.ts";
import type { RuleService } from "./rule-service.ts";
import { ruleBody, type RuleDraft } from "./rule.ts";

export function ruleOperations(rules: RuleService): readonly Operation[] {
  return [
    operation(listNotificationRulesRoute, async ({ query: { orderBy = "id", feature, channel, ...query } }) => {
      const { items, totalCount } = await rules.list({ ...query, orderBy, features: feature, channels: channel });
      const { page, pageSize } = query;
      return jsonReply({ totalCount, page, pageSize, items: items.map(ruleBody) });
    }),
    operation(createNotificationRuleRoute, async ({ body }) =>
      jsonReply(ruleBody(await rules.create(ruleDraft(body))), 201),
    ),
    operation(getNotificationRuleRoute, async ({ params }) => jsonReply(ruleBody(await rules.get(params.ruleId)))),
    operation(updateNotificationRuleRoute, async ({ params, body }) =>
      jsonReply(ruleBody(await rules.update(params.ruleId, ruleDraft(body)))),
    ),
    operation(deleteNotificationRuleRoute, async ({ params }) => {
      await rules.delete(params.ruleId);
      return { status: 204 };
    }),
  ];
}

function ruleDraft(body: NotificationRuleCreate): RuleDraft {
  return {
    type: body.type,
    name: body.name,
    isDisabled: body.disabled,
    channels: body.channels,
    features: ("features" in body ? body.features : undefined) ?? [],
    thresholds:
      "thresholds" in body ? body.thresholds.map(({ type, value }) => ({ type, value: Decimal.of(value) })) : [],
    metadata: body.metadata ?? null,
  };
}
