/** Meters over HTTP: decode, call the verb, encode. */

import {
  createMeterRoute,
  deleteMeterRoute,
  getMeterRoute,
  jsonReply,
  listMetersRoute,
  type Meter as MeterBody,
  type Operation,
  operation,
  updateMeterRoute,
} from "@tallystick/contract";
import { Fault } from "../kernel/fault.ts";
import { formatInstant, instantTextError, parseInstant } from "../kernel/instant.ts";
import type { Meter } from "./meter.ts";
import type { MeterService } from "./service.ts";

export function meterOperations(meters: MeterService): readonly Operation[] {
  return [
    operation(listMetersRoute, async ({ query }) => {
      const orderBy = query.orderBy === undefined || query.orderBy === "key" ? "slug" : query.orderBy;
      const direction = query.order === "DESC" ? "desc" : "asc";
      const found = await meters.list({ orderBy, direction, includeDeleted: query.includeDeleted });
      return jsonReply(found.map(meterBody));
    }),
    operation(createMeterRoute, async ({ body }) => {
      const { eventFrom, ...rest } = body;
      if (eventFrom === undefined) return jsonReply(meterBody(await meters.create(rest)));
      const instant = parseInstant(eventFrom);
      if (instant === null) {
        const message = `"eventFrom" ${instantTextError(eventFrom)}`;
        const fields = [{ code: "invalid_time", message, field: "$.eventFrom" }];
        throw new Fault("validation", "invalid_time", message, { fields });
      }
      return jsonReply(meterBody(await meters.create({ ...rest, eventFrom: instant })));
    }),
    operation(getMeterRoute, async ({ params }) => jsonReply(meterBody(await meters.get(params.meterIdOrSlug)))),
    operation(updateMeterRoute, async ({ params, body }) =>
      jsonReply(meterBody(await meters.update(params.meterIdOrSlug, body))),
    ),
    operation(deleteMeterRoute, async ({ params }) => {
      await meters.delete(params.meterIdOrSlug);
      return { status: 204 };
    }),
  ];
}

function meterBody(meter: Meter): MeterBody {
  return {
    id: meter.id,
    slug: meter.slug,
    name: meter.name,
    ...(meter.description === null ? {} : { description: meter.description }),
    aggregation: meter.aggregation,
    eventType: meter.eventType,
    ...(meter.eventFrom === null ? {} : { eventFrom: formatInstant(meter.eventFrom) }),
    ...(meter.valueProperty === null ? {} : { valueProperty: meter.valueProperty }),
    ...(Object.keys(meter.groupBy).length === 0 ? {} : { groupBy: meter.groupBy }),
    ...(meter.metadata === null ? {} : { metadata: meter.metadata }),
    createdAt: formatInstant(meter.createdAt),
    updatedAt: formatInstant(meter.updatedAt),
    ...(meter.deletedAt === null ? {} : { deletedAt: formatInstant(meter.deletedAt) }),
  };
}
