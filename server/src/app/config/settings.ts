/**
 * The keys of the configuration as a flat list, read off the schema: what each is called in the file, in the environment
 * and on the command line. `config.ts` fills them, `config/text.ts` prints them.
 */

import { z } from "zod";
import { assert } from "../../kernel/assert.ts";
import { configSchema, notesOf } from "./schema.ts";
import type { SettingNotes } from "./schema.ts";

export interface Setting extends SettingNotes {
  /** Dotted path, such as `ingest.maxEvents`. */
  readonly key: string;
  /** First part of the path, or "" for a key outside every section. */
  readonly section: string;
  /** Last part of the path. */
  readonly name: string;
  readonly isInteger: boolean;
  /** The value as it would be written, or undefined when the key has none. */
  readonly initial: unknown;
  readonly environmentVariable: string | undefined;
}

/** A group of settings; the first has the name "" and holds the keys outside every section. */
export interface Section {
  readonly name: string;
  readonly description: string;
  readonly settings: readonly Setting[];
}

/** `ingest.maxEvents` becomes `TALLYSTICK_INGEST_MAX_EVENTS`. */
function environmentVariableOf(key: string): string {
  return `TALLYSTICK_${key
    .replaceAll(/([a-z])([A-Z])/gu, "$1_$2")
    .replaceAll(".", "_")
    .toUpperCase()}`;
}

function settingOf(section: string, name: string, schema: z.core.$ZodType): Setting {
  const key = section === "" ? name : `${section}.${name}`;
  const notes = notesOf(schema);
  assert(notes !== undefined, `the configuration key ${key} says what it means and what it expects`);
  const hasInitial = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault;
  const inner = hasInitial || schema instanceof z.ZodOptional ? schema.def.innerType : schema;
  return {
    ...notes,
    key,
    section,
    name,
    isInteger: inner instanceof z.ZodNumber,
    initial: hasInitial ? schema.def.defaultValue : undefined,
    environmentVariable: notes.isList === true ? undefined : environmentVariableOf(key),
  };
}

function readSections(): readonly Section[] {
  const outside: Setting[] = [];
  const sections: Section[] = [{ name: "", description: "", settings: outside }];
  for (const [name, schema] of Object.entries(configSchema.shape)) {
    if (schema instanceof z.ZodObject) {
      const settings = Object.entries(schema.shape).map(([key, inner]) => settingOf(name, key, inner));
      sections.push({ name, description: schema.description ?? "", settings });
    } else {
      outside.push(settingOf("", name, schema));
    }
  }
  return sections;
}

export const SECTIONS = readSections();

export const SETTINGS: readonly Setting[] = SECTIONS.flatMap(({ settings }) => settings);

/** Masks the password of a URL; a secret that is no URL is masked as a whole. */
export function maskSecret(value: unknown): string {
  const url = typeof value === "string" ? URL.parse(value) : null;
  // Much that is no address parses as a URL, such as "key:abc".
  if (url === null || url.host === "") return "***";
  if (url.password !== "") url.password = "***";
  // Drivers also take a password as a query parameter.
  for (const name of url.searchParams.keys()) {
    if (/pass/iu.test(name)) url.searchParams.set(name, "***");
  }
  return url.href;
}
