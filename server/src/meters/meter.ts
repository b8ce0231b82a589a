/**
 * Meters: named functions over the raw events. A meter stores no usage; it says which events count, what their value is
 * and by which properties usage can be split. Pure types and rules; see README.md for the meaning.
 */

import { type Aggregation, type JsonPath, type MeterView, parseJsonPath } from "../engines/event-store/index.ts";
import { assert } from "../kernel/assert.ts";
import type { FieldError } from "../kernel/fault.ts";
import type { Instant } from "../kernel/instant.ts";

export interface Meter {
  readonly id: string;
  readonly namespace: string;
  readonly slug: string;
  readonly name: string;
  readonly description: string | null;
  readonly aggregation: Aggregation;
  readonly eventType: string;
  /** Events with an earlier time never count. */
  readonly eventFrom: Instant | null;
  /** JSONPath of the value; null exactly for COUNT. */
  readonly valueProperty: string | null;
  /** Group-by key to JSONPath. */
  readonly groupBy: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Starts at 1; a change of `groupBy` makes a new version. */
  readonly version: number;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}

/** What a client may send to create a meter. */
export interface MeterDraft {
  readonly slug: string;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly aggregation: Aggregation;
  readonly eventType: string;
  readonly eventFrom?: Instant | undefined;
  readonly valueProperty?: string | undefined;
  readonly groupBy?: Readonly<Record<string, string>> | undefined;
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
}

/** What a client may change: name, group-by and metadata are replaced, an omitted description stays. */
export interface MeterChange {
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly groupBy?: Readonly<Record<string, string>> | undefined;
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
}

/** Group-by keys that mean something else in queries. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(["subject", "customer_id"]);
const GROUP_KEY = /^[a-zA-Z_][0-9a-zA-Z_]*$/;

/** What is wrong with a meter's definition beyond the shape of its fields; empty when nothing is. */
export function definitionErrors(draft: MeterDraft, reservedEventTypes: readonly RegExp[]): FieldError[] {
  const errors: FieldError[] = [];
  if (reservedEventTypes.some((pattern) => pattern.test(draft.eventType))) {
    errors.push({
      code: "reserved_event_type",
      message: `event type ${JSON.stringify(draft.eventType)} is reserved; choose another one`,
      field: "$.eventType",
    });
  }
  if (draft.aggregation === "COUNT" && draft.valueProperty !== undefined) {
    errors.push({
      code: "value_property_forbidden",
      message: "a COUNT meter counts events and has no value: leave valueProperty out",
      field: "$.valueProperty",
    });
  }
  if (draft.aggregation !== "COUNT" && draft.valueProperty === undefined) {
    errors.push({
      code: "value_property_required",
      message: `a ${draft.aggregation} meter needs valueProperty, the JSONPath of the value, such as "$.tokens"`,
      field: "$.valueProperty",
    });
  }
  if (draft.valueProperty !== undefined && parseJsonPath(draft.valueProperty) === null) {
    errors.push(invalidPath(draft.valueProperty, "$.valueProperty"));
  }
  return [...errors, ...groupByErrors(draft.groupBy ?? {}, draft.valueProperty ?? null)];
}

/** What is wrong with a group-by map; empty when nothing is. */
export function groupByErrors(
  groupBy: Readonly<Record<string, string>>,
  valueProperty: string | null,
): readonly FieldError[] {
  return Object.entries(groupBy).flatMap(([key, path]): FieldError[] => {
    const field = `$.groupBy.${key}`;
    if (!GROUP_KEY.test(key)) {
      const message = `group-by key ${JSON.stringify(key)} must consist of letters, digits and _ and not start with a digit`;
      return [{ code: "invalid_group_by", message, field }];
    }
    if (RESERVED_KEYS.has(key)) {
      const message = `group-by key "${key}" is reserved: usage can be grouped by ${key} without it; choose another key`;
      return [{ code: "reserved_dimension", message, field }];
    }
    if (parseJsonPath(path) === null) return [invalidPath(path, field)];
    if (path.trim() === valueProperty?.trim()) {
      const message = `group-by key "${key}" must not have the path of valueProperty`;
      return [{ code: "invalid_group_by", message, field }];
    }
    return [];
  });
}

function invalidPath(path: string, field: string): FieldError {
  return { code: "invalid_json_path", message: `invalid JSONPath: ${path}`, field };
}

/** The meter as the event store sees it. */
export function meterView(meter: Meter): MeterView {
  return {
    namespace: meter.namespace,
    eventType: meter.eventType,
    aggregation: meter.aggregation,
    groupBy: new Map(Object.entries(meter.groupBy).map(([key, path]) => [key, validPath(path)])),
    ...(meter.eventFrom === null ? {} : { eventFrom: meter.eventFrom }),
    ...(meter.valueProperty === null ? {} : { valuePath: validPath(meter.valueProperty) }),
  };
}

function validPath(text: string): JsonPath {
  const path = parseJsonPath(text);
  assert(path !== null, "a stored meter has valid JSONPaths");
  return path;
}
