/** The shape of code: sizes, names, headers, and what is not written at all. */

import { posix } from "node:path";
import { isIdentifier, isNode } from "./repository.ts";
import type { SourceFile, SyntaxNode } from "./repository.ts";
import type { Rule } from "./rule.ts";
import { memberReads } from "./import-rules.ts";

const FILE_LINES = 500;
const TEST_FILE_LINES = 900;
const FUNCTION_LINES = 70;
const FILES_PER_FOLDER = 9;
/** An engine is many small files around one format on disk; only its index.ts is seen from outside. */
const FILES_PER_ENGINE_FOLDER = 16;

function lineCount(text: string): number {
  return text.replace(/\n$/u, "").split("\n").length;
}

const fileSize: Rule = {
  name: `a file has at most ${FILE_LINES} lines, a test or migration ${TEST_FILE_LINES}`,
  check: (repository) =>
    repository.matching(/\.(?:ts|tsx|mjs|sql)$/u).flatMap(([path, text]) => {
      const limit = /\.test\.tsx?$|\/conformance[^/]*\.ts$|\.sql$/u.test(path) ? TEST_FILE_LINES : FILE_LINES;
      return lineCount(text) > limit ? [`${path}: has ${lineCount(text)} lines, at most ${limit} are allowed`] : [];
    }),
  breaks: [
    { "server/src/meters/a.ts": "a;\n".repeat(FILE_LINES + 1) },
    { "server/src/meters/a.test.ts": "a;\n".repeat(TEST_FILE_LINES + 1) },
  ],
  keeps: {
    "server/src/meters/a.ts": "a;\n".repeat(FILE_LINES),
    "server/src/meters/a.test.ts": "a;\n".repeat(TEST_FILE_LINES),
  },
};

const FUNCTIONS = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);

const functionSize: Rule = {
  name: `a function has at most ${FUNCTION_LINES} lines`,
  check: (repository) =>
    repository.sources.flatMap((file) =>
      // The function given to `describe` is a chapter, not a function.
      file.isTest ? [] : file.nodes.flatMap((node) => (FUNCTIONS.has(node.type) ? overlong(file, node) : [])),
    ),
  breaks: [
    { "server/src/meters/a.ts": `function f() {\n${"a;\n".repeat(FUNCTION_LINES)}}` },
    { "server/src/meters/a.ts": `const f = () => {\n${"a;\n".repeat(FUNCTION_LINES)}};` },
    { "server/src/meters/a.ts": `class A {\n  m() {\n${"a;\n".repeat(FUNCTION_LINES)}}\n}` },
  ],
  keeps: { "server/src/meters/a.ts": `function f() {\n${"a;\n".repeat(FUNCTION_LINES - 2)}}` },
};

function overlong(file: SourceFile, node: SyntaxNode): readonly string[] {
  const lines = lineCount(file.text.slice(node.start, node.end));
  return lines > FUNCTION_LINES ? [`${file.at(node)}: a function of ${lines} lines, at most ${FUNCTION_LINES}`] : [];
}

const header: Rule = {
  name: "every source file begins with a comment that says what it is for; a test beside its subject need not",
  check: (repository) =>
    repository.sources.flatMap(({ path, text }) =>
      /\/src\/.*\.test\.ts$/u.test(path) || /^(?:#!.*\n)?\/\*\*\s*(?:\*\s*)?[^\s*/]/u.test(text)
        ? []
        : [`${path}: has no header comment (/** ... */)`],
    ),
  breaks: [{ "server/src/meters/a.ts": "// short\nexport const a = 1;" }, { "scripts/a.mjs": "/** */\n" }],
  keeps: { "scripts/a.mjs": "#!/usr/bin/env node\n/**\n * Runs it.\n */\n", "server/src/b.ts": "/** The sum. */\n" },
};

const moduleSize: Rule = {
  name: `a folder of a module has at most ${FILES_PER_FOLDER} source files besides index.ts and tests, of an engine ${FILES_PER_ENGINE_FOLDER}`,
  check: (repository) => {
    const counts = new Map<string, number>();
    for (const file of repository.sources) {
      const folder = posix.dirname(file.path);
      // In the kernel every file is a module of its own.
      if (!folder.startsWith("server/src/") || folder === "server/src/kernel" || file.isTest) continue;
      if (file.path.endsWith("/index.ts")) continue;
      counts.set(folder, (counts.get(folder) ?? 0) + 1);
    }
    return [...counts].flatMap(([folder, count]) => {
      const limit = folder.startsWith("server/src/engines/") ? FILES_PER_ENGINE_FOLDER : FILES_PER_FOLDER;
      return count > limit ? [`${folder}: has ${count} source files, at most ${limit}`] : [];
    });
  },
  breaks: [
    Object.fromEntries("abcdefghij".split("").map((name) => [`server/src/meters/${name}.ts`, ""])),
    Object.fromEntries("abcdefghijklmnopq".split("").map((name) => [`server/src/engines/claims/${name}.ts`, ""])),
  ],
  keeps: {
    ...Object.fromEntries("abcdefghi".split("").map((name) => [`server/src/meters/${name}.ts`, ""])),
    "server/src/meters/a.test.ts": "",
    "server/src/meters/index.ts": "",
    "server/src/meters/more/a.ts": "",
  },
};

/** A rule against a kind of syntax node. */
function nodeRule(
  name: string,
  type: string,
  message: string,
  exempt: RegExp,
  examples: Pick<Rule, "breaks" | "keeps">,
): Rule {
  return {
    name,
    check: (repository) =>
      repository.sources.flatMap((file) =>
        exempt.test(file.path)
          ? []
          : file.nodes.flatMap((node) => (node.type === type ? [`${file.at(node)}: ${message}`] : [])),
      ),
    ...examples,
  };
}

const NOWHERE = /^$/u;

const noDefaultExport = nodeRule(
  "there are no default exports",
  "ExportDefaultDeclaration",
  "a default export",
  /(?:^|\/)[a-z]+\.config\.ts$/u,
  {
    breaks: [{ "server/src/meters/a.ts": "export default function f() {}" }],
    keeps: { "vitest.config.ts": "export default {};", "server/src/meters/a.ts": "export function f() {}" },
  },
);

const noAny = nodeRule("`any` is not used", "TSAnyKeyword", "any", NOWHERE, {
  breaks: [{ "server/src/meters/a.ts": "const a: readonly any[] = [];" }],
  keeps: { "server/src/meters/a.ts": 'const any: unknown = "any";' },
});

const noNonNull = nodeRule("`!` does not deny null", "TSNonNullExpression", "a non-null assertion", NOWHERE, {
  breaks: [{ "server/src/meters/a.ts": "const a = b!.c;" }],
  keeps: { "server/src/meters/a.ts": "const a = !b;" },
});

/** Joined from two halves, so that this file itself keeps the rule. */
const MARKERS = [
  ["TO", "DO"],
  ["FIX", "ME"],
].map((halves) => halves.join(""));
const SILENCERS = ["ignore", "nocheck"].map((word) => `@ts-${word}`);
const POSTPONED = new RegExp(`\\b(?:${MARKERS.join("|")})\\b|${SILENCERS.join("|")}`, "u");

const nothingPostponed: Rule = {
  name: "nothing is postponed in comments, and no type error is silenced",
  check: (repository) =>
    repository
      .matching(/\.(?:ts|tsx|mjs|sql|sh)$/u)
      .flatMap(([path, text]) =>
        text
          .split("\n")
          .flatMap((line, index) => (POSTPONED.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
      ),
  breaks: [...MARKERS, ...SILENCERS].map((word) => ({ "server/src/a.ts": `// ${word} later` })),
  keeps: { "server/src/a.ts": "// To do it twice is safe." },
};

const VAGUE_WORDS = new Set(["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"]);
const VAGUE_NAME = /(?:Utils?|Helpers?|Managers?|Common|V2)$/u;
const DECLARATIONS = new Set([
  "FunctionDeclaration",
  "ClassDeclaration",
  "TSInterfaceDeclaration",
  "TSTypeAliasDeclaration",
]);

const names: Rule = {
  name: "files are named by kebab-case nouns of the field, and nothing is named utils, helpers, common, manager or V2",
  check: (repository) => {
    const paths = repository.paths.filter((path) => /\.(?:ts|tsx|mjs)$/u.test(path));
    const files = paths.flatMap((path) => {
      const isVague = path.split(/[/.-]/u).some((word) => VAGUE_WORDS.has(word));
      const isKebab = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z]+)+$/u.test(posix.basename(path));
      return isVague || !isKebab ? [`${path}: not a name that says what is inside`] : [];
    });
    const declared = repository.sources.flatMap((file) =>
      file.nodes.flatMap((node) => {
        const id = DECLARATIONS.has(node.type) ? node["id"] : undefined;
        const name = isNode(id) ? String(id["name"]) : "";
        // The API has a second version of an operation, and the code that serves it is named after it.
        const isOperation = name.endsWith("V2") && /^contract\/|\/http\.ts$/u.test(file.path);
        return VAGUE_NAME.test(name) && !isOperation ? [`${file.at(node)}: ${name} does not say what it is`] : [];
      }),
    );
    return [...files, ...declared];
  },
  breaks: [
    { "server/src/meters/utils.ts": "" },
    { "server/src/common/a.ts": "" },
    { "server/src/meters/json-helpers.ts": "" },
    { "server/src/meters/meterStore.ts": "" },
    { "server/src/meters/a.ts": "class MeterManager {}" },
    { "server/src/meters/a.ts": "function planV2() {}" },
  ],
  keeps: {
    "server/src/meters/value-property.test.ts": "class Meter {}",
    "contract/src/a.ts": "function listEventsV2() {}",
  },
};

const SUITES = ["it", "test", "describe", "suite"];

const everyTestRuns: Rule = {
  name: "every test runs: none is skipped or singled out",
  check: (repository) =>
    repository.sources.flatMap((file) =>
      SUITES.flatMap((suite) =>
        ["only", "skip", "todo"].flatMap((mode) =>
          memberReads(file, suite, mode).map((node) => `${file.at(node)}: ${suite}.${mode}`),
        ),
      ),
    ),
  breaks: [
    { "server/src/a.test.ts": 'test.only("a", f);' },
    { "server/src/a.test.ts": 'describe.skip("a", f);' },
    { "server/src/a.test.ts": 'it.todo("a");' },
  ],
  keeps: { "server/src/a.test.ts": 'test("only", f); test.skipIf(reason)("a", f); a.skip(1);' },
};

const noSleep: Rule = {
  name: "tests wait on a condition, not on the clock",
  check: (repository) =>
    repository.sources.flatMap((file) => {
      const isTimerImport = file.imports.some(({ specifier }) => specifier === "node:timers/promises");
      if (!file.path.endsWith(".test.ts")) return [];
      const sleeps = file.nodes.filter((node) => node.type === "NewExpression" && isSleep(node));
      const imported = isTimerImport ? [`${file.path}: imports node:timers/promises`] : [];
      return [...imported, ...sleeps.map((node) => `${file.at(node)}: sleeps`)];
    }),
  breaks: [
    { "server/src/a.test.ts": "await new Promise((resolve) => setTimeout(resolve, 100));" },
    { "server/src/a.test.ts": "await new Promise((done) => { setTimeout(done, 100); });" },
    { "server/src/a.test.ts": 'import { setTimeout } from "node:timers/promises";' },
  ],
  keeps: { "server/src/a.test.ts": "await vi.waitFor(f); await new Promise((resolve) => setImmediate(resolve));" },
};

/** `new Promise((resolve) => setTimeout(resolve, ...))`, with or without braces. */
function isSleep(node: SyntaxNode): boolean {
  const [executor] = Array.isArray(node["arguments"]) ? node["arguments"] : [];
  if (!isIdentifier(node["callee"], "Promise") || !isNode(executor)) return false;
  const body = isNode(executor["body"]) ? executor["body"] : undefined;
  const statements: readonly unknown[] = Array.isArray(body?.["body"]) ? body["body"] : [body];
  const [only] = statements;
  const call = isNode(only) && only.type === "ExpressionStatement" ? only["expression"] : only;
  return statements.length === 1 && isNode(call) && isIdentifier(call["callee"], "setTimeout");
}

export const SHAPE_RULES: readonly Rule[] = [
  fileSize,
  functionSize,
  header,
  moduleSize,
  noDefaultExport,
  noAny,
  noNonNull,
  nothingPostponed,
  names,
  everyTestRuns,
  noSleep,
];
