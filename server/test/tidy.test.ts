/**
 * The repository lints itself: what the architecture and the style demand and no linter knows. Each rule is tried on
 * examples that break it before it judges the repository, so that no rule can pass because it stopped working.
 */

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DOCUMENT_RULES } from "./tidy/document-rules.ts";
import { IMPORT_RULES } from "./tidy/import-rules.ts";
import { readRepository, Repository } from "./tidy/repository.ts";
import type { Example } from "./tidy/rule.ts";
import { SHAPE_RULES } from "./tidy/shape-rules.ts";

const RULES = [...IMPORT_RULES, ...SHAPE_RULES, ...DOCUMENT_RULES];

function repositoryOf(example: Example): Repository {
  return new Repository(new Map(Object.entries(example)));
}

describe("each rule catches what breaks it and lets pass what keeps it", () => {
  test.each(RULES)("$name", ({ check, breaks, keeps }) => {
    expect(breaks.length).toBeGreaterThan(0);
    for (const example of breaks) expect(check(repositoryOf(example)), JSON.stringify(example)).not.toEqual([]);
    expect(check(repositoryOf(keeps))).toEqual([]);
  });
});

const repository = readRepository(fileURLToPath(new URL("../..", import.meta.url)));

describe("the repository", () => {
  test("has been read", () => {
    expect(repository.paths).toContain("server/test/tidy.test.ts");
    expect(repository.sources.length).toBeGreaterThan(20);
  });

  test.each(RULES)("$name", ({ check }) => {
    expect(check(repository)).toEqual([]);
  });
});
