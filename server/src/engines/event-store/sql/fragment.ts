/**
 * SQL fragments: text with `{name:Type}` placeholders and the values bound to them.
 *
 * Invariants: no text from outside ever becomes part of the SQL text. Texts and lists are bound as parameters; whole
 * numbers, which partition pruning reads best as literals, pass through `integer`, which asserts their shape. Equal values
 * share a parameter, so that ClickHouse recognises equal expressions and computes them once.
 */

import { assert } from "../../../kernel/assert.ts";
import type { Instant } from "../../../kernel/instant.ts";

export type Parameter = string | readonly string[] | readonly number[];

/** A statement ready to send: the parameters are bound by the server (or by the embedded engine) by name. */
export interface Statement {
  readonly sql: string;
  readonly params: Readonly<Record<string, Parameter>>;
  /** Settings that suit the statement, besides those of every read. */
  readonly settings?: Readonly<Record<string, number>>;
  /** True when its answer never changes, because it reads nothing but rows of chunks. */
  readonly isLasting?: boolean;
}

/** Collects the parameters of one statement. */
export class Binder {
  readonly #params: Record<string, Parameter> = {};
  readonly #names = new Map<string, string>();

  /** A placeholder for a text. */
  text(value: string): string {
    return this.#bind("String", value, value);
  }

  /** A placeholder for a list of texts. */
  texts(values: readonly string[]): string {
    return this.#bind("Array(String)", values, JSON.stringify(values));
  }

  /** A placeholder for a list of unsigned whole numbers. */
  integers(values: readonly number[]): string {
    for (const value of values) integer(value);
    return this.#bind("Array(UInt64)", values, JSON.stringify(values));
  }

  statement(sql: string): Statement {
    return { sql, params: this.#params };
  }

  #bind(type: string, value: Parameter, identity: string): string {
    const key = `${type} ${identity}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      name = `p${this.#names.size}`;
      this.#names.set(key, name);
      this.#params[name] = value;
    }
    return `{${name}:${type}}`;
  }
}

/** A whole number as a literal. */
export function integer(value: number): string {
  assert(Number.isSafeInteger(value), "a number in SQL text is a safe integer");
  return String(value);
}

/** An instant as a literal of the type of the time columns. */
export function instant(value: Instant): string {
  return `fromUnixTimestamp64Micro(${integer(value)}, 'UTC')`;
}

/** All of the conditions; true when there are none. */
export function allOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? "1" : conditions.map((condition) => `(${condition})`).join(" AND ");
}

/** At least one of the conditions; false when there are none. */
export function anyOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? "0" : conditions.map((condition) => `(${condition})`).join(" OR ");
}
