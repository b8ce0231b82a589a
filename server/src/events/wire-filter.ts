/**
 * Filters as clients write them, turned into the event store's. The contract's schemas have checked that each has exactly
 * one operator and how deep they nest.
 */

import type { FilterString, FilterTime } from "@tallystick/contract";
import type { TextFilter, TimeFilter } from "../engines/event-store/index.ts";
import { assert } from "../kernel/assert.ts";
import { Fault } from "../kernel/fault.ts";
import { instantTextError, parseInstant } from "../kernel/instant.ts";

/** Most members of `$in`, `$nin`, `$and` and `$or`. */
const MAX_MEMBERS = 100;
const MAX_BRANCHES = 10;

/** A condition on text. `field` is where the filter stands in the request, for faults. */
export function textFilter(filter: FilterString, field: string): TextFilter {
  const [operator, operand] = onlyEntry(filter);
  const op = operator.slice(1);
  switch (op) {
    case "eq":
    case "ne":
    case "gt":
    case "gte":
    case "lt":
    case "lte":
    case "contains":
    case "ncontains":
      return { op, value: String(operand) };
    case "like":
    case "nlike":
    case "ilike":
    case "nilike":
      return { op, pattern: String(operand) };
    case "in":
    case "nin":
      return { op, values: members<string>(operand, MAX_MEMBERS, `${field}.${operator}`) };
    case "exists":
      return { op, value: operand === true };
    case "and":
    case "or": {
      const branches = members<FilterString>(operand, MAX_BRANCHES, `${field}.${operator}`);
      return { op, filters: branches.map((branch) => textFilter(branch, field)) };
    }
    default:
      assert(false, `the contract knows the operator ${operator}`);
  }
}

/** A condition on an instant. */
export function timeFilter(filter: FilterTime, field: string): TimeFilter {
  const [operator, operand] = onlyEntry(filter);
  const op = operator.slice(1);
  if (op === "and" || op === "or") {
    const branches = members<FilterTime>(operand, MAX_BRANCHES, `${field}.${operator}`);
    return { op, filters: branches.map((branch) => timeFilter(branch, field)) };
  }
  assert(op === "gt" || op === "gte" || op === "lt" || op === "lte", `the contract knows the operator ${operator}`);
  const value = parseInstant(String(operand));
  if (value === null) {
    const message = `"${field}.${operator}" ${instantTextError(String(operand))}`;
    throw new Fault("validation", "invalid_time", message, {
      fields: [{ code: "invalid_time", message, field: `$.${field}` }],
    });
  }
  return { op, value };
}

function onlyEntry(filter: FilterString | FilterTime): [string, unknown] {
  const entry = Object.entries(filter).find(([, operand]) => operand !== null && operand !== undefined);
  assert(entry !== undefined, "the contract lets no filter without an operator pass");
  return entry;
}

function members<Member>(operand: unknown, max: number, field: string): Member[] {
  assert(Array.isArray(operand), "the contract lets only arrays pass here");
  if (operand.length === 0 || operand.length > max) {
    const message = `"${field}" must have 1 to ${max} members, not ${operand.length}`;
    throw new Fault("validation", "invalid_filter", message, {
      fields: [{ code: "invalid_filter", message, field: `$.${field}` }],
    });
  }
  return operand;
}
