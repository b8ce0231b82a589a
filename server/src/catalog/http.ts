/** Features over HTTP: decode, call the verb, encode. */

import {
  type FeatureBody,
  featureRoutes,
  type FilterString,
  jsonReply,
  listPart,
  type Operation,
  operation,
} from "@tallystick/contract";
import { formatInstant } from "../kernel/instant.ts";
import { type AdvancedFilters, type Feature, onlyText, type SimpleFilters } from "./feature.ts";
import type { FeatureService } from "./feature-service.ts";

export function featureOperations(features: FeatureService): readonly Operation[] {
  return [
    operation(featureRoutes.list, async ({ query }) => {
      const { page, limit, offset } = listPart(query);
      const wanted = {
        orderBy: query.orderBy ?? "key",
        direction: query.order === "DESC" ? "desc" : "asc",
        includeArchived: query.includeArchived,
        meters: query.meterSlug,
        limit,
        offset,
      } as const;
      if (page === undefined) return jsonReply((await features.list(wanted)).map(featureBody));
      const { items, totalCount } = await features.page(wanted);
      return jsonReply({ items: items.map(featureBody), ...page, totalCount });
    }),
    operation(featureRoutes.create, async ({ body }) => jsonReply(featureBody(await features.create(body)), 201)),
    operation(featureRoutes.get, async ({ params }) => jsonReply(featureBody(await features.get(params.featureId)))),
    operation(featureRoutes.archive, async ({ params }) => {
      await features.archive(params.featureId);
      return { status: 204 };
    }),
  ];
}

/** The feature as v1 answers it. Filters are told in both forms where both can say them, whichever was sent. */
export function featureBody(feature: Feature): FeatureBody {
  const simple = feature.simpleFilters ?? simpleFormOf(feature.advancedFilters);
  const advanced = feature.advancedFilters ?? advancedFormOf(feature.simpleFilters);
  return {
    id: feature.id,
    key: feature.key,
    name: feature.name,
    ...(feature.metadata === null ? {} : { metadata: { ...feature.metadata } }),
    ...(feature.meterSlug === null ? {} : { meterSlug: feature.meterSlug }),
    ...(simple === null ? {} : { meterGroupByFilters: { ...simple } }),
    ...(advanced === null ? {} : { advancedMeterGroupByFilters: { ...advanced } }),
    ...(feature.unitCost === null ? {} : { unitCost: { ...feature.unitCost } }),
    createdAt: formatInstant(feature.createdAt),
    updatedAt: formatInstant(feature.updatedAt),
    ...(feature.archivedAt === null ? {} : { archivedAt: formatInstant(feature.archivedAt) }),
  };
}

/** Null unless every filter asks for equality with one text. */
function simpleFormOf(advanced: AdvancedFilters | null): SimpleFilters | null {
  if (advanced === null) return null;
  const entries = Object.entries(advanced).flatMap(([key, filter]) => {
    const text = onlyText(filter);
    return text === undefined ? [] : [[key, text] as const];
  });
  return entries.length === Object.keys(advanced).length ? Object.fromEntries(entries) : null;
}

function advancedFormOf(simple: SimpleFilters | null): AdvancedFilters | null {
  if (simple === null) return null;
  const entries = Object.entries(simple).map(([key, text]): [string, FilterString] => [key, { $eq: text }]);
  return Object.fromEntries(entries);
}
