/**
 * The versions that a bug report needs: ours, the runtime's and those of the embedded engines. They are read from the
 * package files, so that asking for them starts no engine.
 */

import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { assert } from "../kernel/assert.ts";

function versionOf(specifier: string): string {
  const file = findPackageJSON(specifier, import.meta.url);
  assert(file !== undefined, `the package ${specifier} is installed`);
  const description: unknown = JSON.parse(readFileSync(file, "utf8"));
  const version: unknown =
    typeof description === "object" && description !== null ? Reflect.get(description, "version") : "";
  return String(version);
}

/** Versions by name, ours first. */
export function versions(): ReadonlyMap<string, string> {
  return new Map([
    ["tallystick", versionOf("..")],
    ["node", process.versions.node],
    ["chdb", versionOf("chdb")],
    ["pglite", versionOf("@electric-sql/pglite")],
  ]);
}
