/** Creating, reading, changing and deleting meters. */

import type { Kysely, Transaction } from "kysely";
import { type Database, isStorableText } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault } from "../kernel/fault.ts";
import { Recent } from "../kernel/recent.ts";
import { definitionErrors, groupByErrors, type Meter, type MeterChange, type MeterDraft } from "./meter.ts";
import {
  findMeter,
  insertMeter,
  listMeters,
  markDeleted,
  type MeterListQuery,
  metersOfTypes,
  updateMeter,
} from "./store.ts";

const MAX_NAMED_USES = 5;
/** Every query begins with its meter. */
const MAX_REMEMBERED = 10_000;

export interface MeterServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  /** Event types that no meter may use. */
  readonly reservedEventTypes: readonly RegExp[];
  /** Tell what of other domains uses a meter; asked with the meter locked. None by default. */
  readonly users?: readonly ((tx: Transaction<Database>, meterId: string) => Promise<readonly MeterUse[]>)[];
}

/** Something that gives a meter's usage a meaning, so that the meter must stay what it is. */
export interface MeterUse {
  /** For people, such as `feature "api_calls"`. */
  readonly by: string;
  /** The group-by keys that it needs. */
  readonly groupByKeys: readonly string[];
}

/** What may have happened to a meter. */
type MeterEvent = "created" | "updated" | "deleted";
type MeterListener = (meterId: string, how: MeterEvent) => void;

/** A meter that the configuration wants to exist. */
export type SeededMeter = Omit<MeterDraft, "eventFrom" | "metadata">;

export class MeterService {
  readonly #options: MeterServiceOptions;
  /** By id or slug, since the last change of any meter. */
  readonly #recent = new Recent<Meter>(MAX_REMEMBERED);
  readonly #listeners: MeterListener[] = [];

  constructor(options: MeterServiceOptions) {
    this.#options = options;
  }

  /** Calls the listener after every change of a meter that may have been committed, before the change is answered. */
  onChange(listener: MeterListener): void {
    this.#listeners.push(listener);
  }

  /** Creates a meter. Faults: `invalid_meter` with every offending field, `meter_slug_taken`. */
  async create(draft: MeterDraft): Promise<Meter> {
    const { db, namespace, clock, newId, reservedEventTypes } = this.#options;
    rejectIfAny([...definitionErrors(draft, reservedEventTypes), ...textErrors(draft)]);
    const now = clock.now();
    const meter: Meter = {
      id: newId(),
      namespace,
      slug: draft.slug,
      name: draft.name ?? draft.slug,
      description: draft.description ?? null,
      aggregation: draft.aggregation,
      eventType: draft.eventType,
      eventFrom: draft.eventFrom ?? null,
      valueProperty: draft.valueProperty?.trim() ?? null,
      groupBy: draft.groupBy ?? {},
      metadata: draft.metadata ?? null,
      version: 1,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    };
    if (await this.#changing(meter.id, "created", () => insertMeter(db, meter))) return meter;
    throw new Fault("conflict", "meter_slug_taken", "meter with the same slug already exists", {
      fields: [
        { code: "meter_slug_taken", message: `slug "${meter.slug}" is taken; choose another one`, field: "$.slug" },
      ],
    });
  }

  /** The meter with this id, deleted or not, or the live meter with this slug. Fault: `meter_not_found`. */
  async get(idOrSlug: string): Promise<Meter> {
    const { db, namespace } = this.#options;
    const meter = await this.#recent.getOrRead(idOrSlug, () => findMeter(db, namespace, idOrSlug));
    if (meter === null) throw meterNotFound(idOrSlug);
    return meter;
  }

  async list(query: MeterListQuery): Promise<readonly Meter[]> {
    return await listMeters(this.#options.db, this.#options.namespace, query);
  }

  /** The live meters of these event types, by slug. */
  async ofEventTypes(eventTypes: readonly string[]): Promise<readonly Meter[]> {
    // No meter has an event type with a NUL character, and the state store cannot compare with one.
    const known = eventTypes.filter((type) => !type.includes("\0"));
    return await metersOfTypes(this.#options.db, this.#options.namespace, known);
  }

  /** As `get` but live and null when there is none; the meter stays as it is until the transaction ends. */
  async lock(tx: Transaction<Database>, idOrSlug: string): Promise<Meter | null> {
    const meter = await findMeter(tx, this.#options.namespace, idOrSlug, { isLocked: true });
    return meter?.deletedAt === null ? meter : null;
  }

  /**
   * Replaces name, group-by and metadata. Faults: `meter_not_found`, `invalid_meter`, `meter_in_use` when something needs a
   * group-by key that would be removed.
   */
  async update(idOrSlug: string, change: MeterChange): Promise<Meter> {
    const { id } = await this.get(idOrSlug);
    return await this.#changing(id, "updated", () => this.#update(id, change));
  }

  async #changing<Result>(meterId: string, how: MeterEvent, change: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#recent.changing(change);
    } finally {
      for (const listener of this.#listeners) listener(meterId, how);
    }
  }

  async #update(idOrSlug: string, change: MeterChange): Promise<Meter> {
    const { db, clock } = this.#options;
    return await db.transaction().execute(async (tx) => {
      const meter = await this.lock(tx, idOrSlug);
      if (meter === null) throw meterNotFound(idOrSlug);
      rejectIfAny([...groupByErrors(change.groupBy ?? {}, meter.valueProperty), ...textErrors(change)]);
      const groupBy = change.groupBy ?? {};
      await this.#refuseRemovedKeys(tx, meter, groupBy);
      const changed: Meter = {
        ...meter,
        name: change.name ?? meter.slug,
        description: change.description ?? meter.description,
        groupBy,
        metadata: change.metadata ?? null,
        version: isSameMap(groupBy, meter.groupBy) ? meter.version : meter.version + 1,
        updatedAt: clock.now(),
      };
      await updateMeter(tx, changed);
      return changed;
    });
  }

  async #refuseRemovedKeys(tx: Transaction<Database>, meter: Meter, groupBy: Meter["groupBy"]): Promise<void> {
    const removed = Object.keys(meter.groupBy)
      .filter((key) => !Object.hasOwn(groupBy, key))
      .toSorted();
    const uses = removed.length === 0 ? [] : await this.#uses(tx, meter);
    const fields = removed.flatMap((key) => {
      const users = uses.filter(({ groupByKeys }) => groupByKeys.includes(key));
      if (users.length === 0) return [];
      const message = `group-by key "${key}" of meter "${meter.slug}" is used by ${names(users)}; keep it`;
      return [{ code: "meter_in_use", message, field: `$.groupBy.${key}` }];
    });
    if (fields.length === 0) return;
    throw new Fault("conflict", "meter_in_use", fields.map(({ message }) => message).join("; "), { fields });
  }

  async #uses(tx: Transaction<Database>, meter: Meter): Promise<readonly MeterUse[]> {
    const uses: MeterUse[] = [];
    for (const usesOf of this.#options.users ?? []) uses.push(...(await usesOf(tx, meter.id)));
    return uses;
  }

  /**
   * Deletes a meter; deleting a deleted one has no effect. Faults: `meter_not_found`, `meter_in_use` as long as something
   * uses it.
   */
  async delete(idOrSlug: string): Promise<void> {
    const { db, clock } = this.#options;
    const { id, deletedAt } = await this.get(idOrSlug);
    if (deletedAt !== null) return;
    await this.#changing(id, "deleted", () =>
      db.transaction().execute(async (tx) => {
        const meter = await this.lock(tx, id);
        if (meter === null) return;
        const uses = await this.#uses(tx, meter);
        if (uses.length > 0) {
          const message = `meter "${meter.slug}" is used by ${names(uses)}; archive or delete what uses it first`;
          throw new Fault("conflict", "meter_in_use", message, { fields: [{ code: "meter_in_use", message }] });
        }
        await markDeleted(tx, meter.id, clock.now());
      }),
    );
  }

  /**
   * Creates the meters of the configuration that are missing. Throws an error that names meter and field when an existing
   * one differs: silently changing or keeping it would bill by another definition than the one written down.
   */
  async seed(meters: readonly SeededMeter[]): Promise<void> {
    for (const wanted of meters) {
      const found = await findMeter(this.#options.db, this.#options.namespace, wanted.slug);
      if (found === null) {
        await this.#createSeeded(wanted);
        continue;
      }
      const field = differingField(wanted, found);
      if (field !== null) {
        throw new Error(
          `meter "${wanted.slug}" exists with another ${field} than the configuration gives it; ` +
            "make the two agree, or delete the meter, and start again",
        );
      }
    }
  }

  async #createSeeded(wanted: SeededMeter): Promise<void> {
    try {
      await this.create(wanted);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Error(`meter "${wanted.slug}" of the configuration cannot be created: ${error.message}`, {
        cause: error,
      });
    }
  }
}

/** Names at most a handful: a message is for people. */
function names(uses: readonly MeterUse[]): string {
  const shown = uses.slice(0, MAX_NAMED_USES).map(({ by }) => by);
  return uses.length > shown.length ? `${shown.join(", ")} and ${uses.length - shown.length} more` : shown.join(", ");
}

function meterNotFound(idOrSlug: string): Fault {
  return new Fault("not_found", "meter_not_found", `meter not found: ${idOrSlug}`);
}

function differingField(wanted: SeededMeter, found: Meter): string | null {
  if ((wanted.name ?? wanted.slug) !== found.name) return "name";
  if ((wanted.description ?? null) !== found.description) return "description";
  if (wanted.aggregation !== found.aggregation) return "aggregation";
  if (wanted.eventType !== found.eventType) return "eventType";
  if ((wanted.valueProperty?.trim() ?? null) !== found.valueProperty) return "valueProperty";
  return isSameMap(wanted.groupBy ?? {}, found.groupBy) ? null : "groupBy";
}

function isSameMap(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}

/** The state store's text has no NUL character and no half of a surrogate pair. */
function textErrors(part: Partial<MeterDraft>): readonly { code: string; message: string; field: string }[] {
  const texts: [string, string | undefined][] = [
    ["$.name", part.name],
    ["$.description", part.description],
    ["$.eventType", part.eventType],
    ["$.valueProperty", part.valueProperty],
    ...Object.entries(part.groupBy ?? {}).map(([key, path]): [string, string] => [`$.groupBy.${key}`, path]),
    ...Object.entries(part.metadata ?? {}).flatMap((entry) =>
      entry.map((text): [string, string] => [`$.metadata.${entry[0]}`, text]),
    ),
  ];
  const message = "the text must not contain the NUL character or half a surrogate pair";
  return texts
    .filter(([, text]) => text !== undefined && !isStorableText(text))
    .map(([field]) => ({ code: "invalid_text", message, field }));
}

function rejectIfAny(errors: readonly { code: string; message: string; field?: string }[]): void {
  if (errors.length === 0) return;
  const message = errors.map((error) => error.message).join("; ");
  throw new Fault("validation", "invalid_meter", message, { fields: errors });
}
