/** What is written about the code is true: links, commands, generated pages, numbering. */

import { posix } from "node:path";
import { renderReference } from "../../src/app/config/text.ts";
import { COMMAND_NAMES } from "../../src/cli/index.ts";
import type { Repository } from "./repository.ts";
import type { Rule } from "./rule.ts";

/** Folders of server/src that are modules: each of the first level, and each engine. */
function moduleFolders(repository: Repository): ReadonlySet<string> {
  const folders = repository.sources.flatMap(({ path }) => {
    const match = /^server\/src\/(?:engines\/[^/]+|(?!engines\/)[^/]+)(?=\/)/u.exec(path);
    return match === null ? [] : [match[0]];
  });
  return new Set(folders);
}

const moduleReadme: Rule = {
  name: "every module has a README.md with a section Boundaries",
  check: (repository) =>
    [...moduleFolders(repository)].flatMap((folder) =>
      /^#+ Boundaries$/mu.test(repository.text(`${folder}/README.md`) ?? "")
        ? []
        : [`${folder}: has no README.md with a section Boundaries`],
    ),
  breaks: [
    { "server/src/meters/a.ts": "" },
    { "server/src/engines/claims/embedded/a.ts": "", "server/src/engines/README.md": "## Boundaries\n" },
    { "server/src/kernel/a.ts": "", "server/src/kernel/README.md": "# Kernel\n\nBoundaries are set here.\n" },
  ],
  keeps: {
    "server/src/main.ts": "",
    "server/src/engines/claims/embedded/a.ts": "",
    "server/src/engines/claims/README.md": "# Claims\n\n## Boundaries\n\nNone.\n",
  },
};

/** Markdown without code, where brackets mean something else. */
function prose(markdown: string): string {
  return markdown.replaceAll(/^```.*?^```/gmsu, "").replaceAll(/`[^`\n]*`/gu, "");
}

const links: Rule = {
  name: "every relative link leads to a file of the repository",
  check: (repository) =>
    repository.matching(/\.md$/u).flatMap(([path, text]) =>
      [...prose(text).matchAll(/\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s+(\S+)/gmu)].flatMap((match) => {
        const [target = ""] = (match[1] ?? match[2] ?? "").split("#");
        if (target === "" || /^[a-z]+:/u.test(target)) return [];
        return repository.has(posix.join(posix.dirname(path), target))
          ? []
          : [`${path}: links to ${target}, which is missing`];
      }),
    ),
  breaks: [
    { "README.md": "See [there](docs/gone.md)." },
    { "docs/a.md": "See [there](../gone.md#part).", "docs/gone.md": "" },
    { "README.md": "See [there].\n\n[there]: gone.md\n" },
  ],
  keeps: {
    "README.md": "[a](docs/a.md#part) [b](docs/) [c](https://example.com) [d](#here) `[e](gone.md)`",
    "docs/a.md": "[up](../README.md)",
  },
};

/** Names of the npm scripts that a text tells people to run. */
function mentionedScripts(text: string): readonly string[] {
  return [...text.matchAll(/\bnpm (?:run ([a-z][a-z:-]*)|(start|test)\b)/gu)].map(
    (match) => match[1] ?? match[2] ?? "",
  );
}

function scripts(repository: Repository): readonly string[] {
  const description: unknown = JSON.parse(repository.text("package.json") ?? "{}");
  const declared: unknown =
    typeof description === "object" && description !== null ? Reflect.get(description, "scripts") : undefined;
  return Object.keys(declared ?? {});
}

const commands: Rule = {
  name: "every npm command that a document mentions exists",
  check: (repository) =>
    repository
      .matching(/\.md$/u)
      .flatMap(([path, text]) =>
        mentionedScripts(text).flatMap((script) =>
          scripts(repository).includes(script) ? [] : [`${path}: npm has no script ${script}`],
        ),
      ),
  breaks: [
    { "README.md": "Run `npm run chekc`.", "package.json": '{"scripts": {"check": "a"}}' },
    { "server/src/kernel/README.md": "npm test", "package.json": "{}" },
  ],
  keeps: { "README.md": "`npm run check:types`, `npm ci`", "package.json": '{"scripts": {"check:types": "a"}}' },
};

const commandLine: Rule = {
  name: "README.md shows every command of the command line",
  check: (repository) =>
    COMMAND_NAMES.flatMap((command) =>
      repository.mentions("README.md", `tallystick ${command}`)
        ? []
        : [`README.md: does not show tallystick ${command}`],
    ),
  breaks: [{ "README.md": "`tallystick serve`" }, {}],
  keeps: { "README.md": COMMAND_NAMES.map((command) => `\`tallystick ${command}\``).join(", ") },
};

const configurationPage: Rule = {
  name: "docs/configuration.md is what the schema says",
  check: (repository) =>
    repository.text("docs/configuration.md") === renderReference()
      ? []
      : ["docs/configuration.md: out of date, run npm run docs:config"],
  breaks: [{}, { "docs/configuration.md": renderReference().replace("8888", "8889") }],
  keeps: { "docs/configuration.md": renderReference() },
};

const decisions: Rule = {
  name: "decisions are numbered from 0001 on, without gaps",
  check: (repository) => {
    const numbers = repository
      .matching(/^docs\/adr\/[^/]+\.md$/u)
      .map(([path]) => ({ path, number: Number(/\/(\d{4})-[a-z0-9-]+\.md$/u.exec(path)?.[1] ?? "0") }))
      .toSorted((a, b) => a.number - b.number);
    return numbers.flatMap(({ path, number }, index) =>
      number === index + 1 ? [] : [`${path}: should have the number ${String(index + 1).padStart(4, "0")}`],
    );
  },
  breaks: [
    { "docs/adr/0002-a.md": "" },
    { "docs/adr/0001-a.md": "", "docs/adr/0003-b.md": "" },
    { "docs/adr/0001-a.md": "", "docs/adr/0001-b.md": "" },
    { "docs/adr/decision.md": "" },
  ],
  keeps: { "docs/adr/0002-b.md": "", "docs/adr/0001-a.md": "" },
};

interface LockEntry {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function lockEntries(text: string): Readonly<Record<string, LockEntry>> {
  const lock: unknown = JSON.parse(text);
  const entries: unknown = typeof lock === "object" && lock !== null ? Reflect.get(lock, "packages") : undefined;
  return (entries ?? {}) as Readonly<Record<string, LockEntry>>;
}

const lockFile: Rule = {
  name: "package-lock.json has every optional platform package, without which npm ci refuses it",
  check: (repository) => {
    const entries = lockEntries(repository.text("package-lock.json") ?? "{}");
    return Object.entries(entries).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).flatMap((name) =>
        entries[`node_modules/${name}`] === undefined && entries[`${path}/node_modules/${name}`] === undefined
          ? [`package-lock.json: has no entry for ${name}, run npm run lock:complete`]
          : [],
      ),
    );
  },
  breaks: [
    { "package-lock.json": '{"packages": {"node_modules/a": {"optionalDependencies": {"a-linux-x64": "1.0.0"}}}}' },
  ],
  keeps: {
    "package-lock.json":
      '{"packages": {"node_modules/a": {"optionalDependencies": {"a-linux-x64": "1.0.0"}}, "node_modules/a-linux-x64": {}}}',
  },
};

export const DOCUMENT_RULES: readonly Rule[] = [
  moduleReadme,
  links,
  commands,
  commandLine,
  configurationPage,
  decisions,
  lockFile,
];
