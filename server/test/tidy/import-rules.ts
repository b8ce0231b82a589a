/**
 * Who may import whom. The order of the modules is the architecture: a module knows those to its left, never those to its
 * right, and only what their `index.ts` offers.
 */

import { posix } from "node:path";
import { isIdentifier, isTestPath } from "./repository.ts";
import type { Repository, SourceFile, SyntaxNode } from "./repository.ts";
import type { Rule } from "./rule.ts";

const SRC = "server/src/";

/** From left to right. Modules of one entry may know each other, but not in a circle. */
const ORDER: readonly (readonly string[])[] = [
  ["kernel"],
  ["engines"],
  ["events", "meters"],
  ["usage"],
  ["customers"],
  ["catalog", "llm-cost"],
  ["credits"],
  ["entitlements"],
  ["subscriptions"],
  ["tax"],
  ["billing"],
  ["apps", "notifications", "portal"],
  ["http"],
  ["app"],
  ["cli"],
  ["main.ts"],
];

/** The module that a path belongs to: `kernel`, `engines/claims`, `meters`; undefined outside server/src. */
function moduleOf(path: string): string | undefined {
  if (!path.startsWith(SRC)) return undefined;
  const [first = "", second = ""] = path.slice(SRC.length).split("/");
  return first === "engines" ? `${first}/${second}` : first;
}

function rankOf(module: string): number {
  const [first = ""] = module.split("/");
  return ORDER.findIndex((group) => group.includes(first));
}

interface ModuleImport {
  readonly file: SourceFile;
  readonly from: string | undefined;
  readonly to: string;
  /** Path of the imported file. */
  readonly target: string;
  readonly place: string;
}

/** The imports of modules of server/src by other modules or by anything else. */
function moduleImports(repository: Repository): readonly ModuleImport[] {
  return repository.sources.flatMap((file) =>
    file.imports.flatMap(({ specifier, line }) => {
      if (!specifier.startsWith(".")) return [];
      const target = posix.join(posix.dirname(file.path), specifier);
      const from = moduleOf(file.path);
      const to = moduleOf(target);
      return to === undefined || to === from ? [] : [{ file, from, to, target, place: `${file.path}:${line}` }];
    }),
  );
}

const direction: Rule = {
  name: "a module imports only modules to its left",
  check: (repository) =>
    moduleImports(repository).flatMap(({ file, from, to, place }) => {
      if (file.isTest || from === undefined) return [];
      if (rankOf(from) === -1) return [`${place}: the module ${from} has no place in the order of modules`];
      return rankOf(to) > rankOf(from) || rankOf(to) === -1 ? [`${place}: ${from} must not import ${to}`] : [];
    }),
  breaks: [
    { "server/src/kernel/a.ts": 'import { b } from "../meters/index.ts";' },
    { "server/src/engines/claims/a.ts": 'export type { B } from "../../usage/index.ts";' },
    { "server/src/meters/a.ts": 'const b = await import("../http/index.ts");' },
    { "server/src/meters/a.ts": 'type B = import("../usage/index.ts").B;' },
    { "server/src/novelty/a.ts": 'import { b } from "../kernel/b.ts";' },
  ],
  keeps: {
    "server/src/usage/a.ts": 'import { b } from "../meters/index.ts"; import { c } from "../kernel/c.ts";',
    "server/src/meters/a.test.ts": 'import { b } from "../usage/index.ts";',
  },
};

/** Modules that reach themselves through the imports of others. */
function circles(repository: Repository): readonly string[] {
  const edges = new Map<string, Set<string>>();
  for (const { file, from, to } of moduleImports(repository)) {
    if (from === undefined || file.isTest) continue;
    edges.set(from, (edges.get(from) ?? new Set<string>()).add(to));
  }
  const reachable = (start: string): ReadonlySet<string> => {
    const seen = new Set<string>();
    const open = [...(edges.get(start) ?? [])];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(...(edges.get(next) ?? []));
    }
    return seen;
  };
  return [...edges.keys()].filter((module) => reachable(module).has(module));
}

const noCircles: Rule = {
  name: "modules do not know each other in a circle",
  check: (repository) => circles(repository).map((module) => `${SRC}${module}: is part of a circle of imports`),
  breaks: [
    {
      "server/src/events/a.ts": 'import { b } from "../meters/index.ts";',
      "server/src/meters/b.ts": 'import { a } from "../events/index.ts";',
    },
    {
      "server/src/engines/jobs/a.ts": 'import { b } from "../claims/index.ts";',
      "server/src/engines/claims/b.ts": 'import { a } from "../jobs/index.ts";',
    },
  ],
  keeps: { "server/src/events/a.ts": 'import { b } from "../meters/index.ts";' },
};

const throughIndex: Rule = {
  name: "a module is imported only through its index.ts, kernel and app file by file",
  check: (repository) =>
    moduleImports(repository).flatMap(({ file, to, target, place }) => {
      if (["kernel", "app", "main.ts"].includes(to) || target === `${SRC}${to}/index.ts`) return [];
      // Suites, fixtures and the reference implementation serve tests only, so an index does not offer them.
      if (isTestPath(file.path) && /\/(?:conformance[^/]*|reference[^/]*|fixtures?)\.ts$/u.test(target)) return [];
      return [`${place}: ${target} is private, import ${SRC}${to}/index.ts`];
    }),
  breaks: [
    { "server/src/usage/a.ts": 'import { b } from "../meters/store.ts";' },
    { "server/test/e2e/a.test.ts": 'import { b } from "../../src/engines/claims/embedded.ts";' },
    { "server/src/engines/jobs/a.ts": 'import { b } from "../claims/embedded/index.ts";' },
  ],
  keeps: {
    "server/src/usage/a.ts": 'import { b } from "../meters/index.ts"; import { c } from "./c.ts";',
    "server/test/oracle/a.test.ts": 'import { b } from "../../src/engines/event-store/reference.ts";',
  },
};

const packages: Rule = {
  name: "packages know each other only by name, and nothing knows the server",
  check: (repository) =>
    repository.sources.flatMap((file) =>
      file.imports.flatMap(({ specifier, line }) => {
        const top = file.path.split("/")[0] ?? "";
        const target = specifier.startsWith(".") ? posix.join(posix.dirname(file.path), specifier) : specifier;
        const isOutside = specifier.startsWith(".") && !target.startsWith(`${top}/`) && file.path.includes("/");
        const isServer = specifier === "@tallystick/server";
        return isOutside || isServer ? [`${file.path}:${line}: ${target} belongs to another package`] : [];
      }),
    ),
  breaks: [
    { "contract/src/a.ts": 'import { b } from "../../server/src/kernel/b.ts";' },
    { "contract/src/a.ts": 'import { b } from "@tallystick/server";' },
  ],
  keeps: { "server/src/meters/http.ts": 'import { b } from "@tallystick/contract"; import { c } from "./c.ts";' },
};

/** True for the package `name` and its subpaths. */
function isPackage(specifier: string, name: string): boolean {
  return specifier === name || specifier.startsWith(`${name}/`);
}

function importRule(
  name: string,
  wanted: readonly string[],
  allowed: RegExp,
  examples: Pick<Rule, "breaks" | "keeps">,
  isTypeFree = false,
): Rule {
  return {
    name,
    check: (repository) =>
      repository.sources.flatMap((file) =>
        file.imports.flatMap(({ specifier, isType, line }) =>
          !(isType && isTypeFree) && wanted.some((driver) => isPackage(specifier, driver)) && !allowed.test(file.path)
            ? [`${file.path}:${line}: must not import ${specifier}`]
            : [],
        ),
      ),
    ...examples,
  };
}

const DRIVERS = ["chdb", "@clickhouse/client", "pg", "@electric-sql/pglite", "ioredis", "@platformatic/kafka"];

const drivers = importRule("only engines import drivers", DRIVERS, /^server\/src\/engines\//u, {
  breaks: [
    { "server/src/usage/a.ts": 'import { Session } from "chdb";' },
    { "server/src/app/a.ts": 'import type { PGlite } from "@electric-sql/pglite/worker";' },
    { "server/bench/a.ts": 'import { createClient } from "@clickhouse/client";' },
  ],
  keeps: { "server/src/engines/event-store/a.ts": 'import { Session } from "chdb";' },
});

const kysely = importRule(
  "only engines and a module's store build queries; others may name the types",
  ["kysely"],
  /^server\/src\/engines\/|^server\/src\/.*\/(?:[a-z-]+-)?store(?:\.test)?\.ts$/u,
  {
    breaks: [{ "server/src/meters/service.ts": 'import { sql } from "kysely";' }],
    keeps: {
      "server/src/meters/store.ts": 'import { sql } from "kysely";',
      "server/src/meters/service.ts": 'import type { Transaction } from "kysely";',
    },
  },
  true,
);

const hono = importRule(
  "only http, a module's http.ts and the contract import hono",
  ["hono", "@hono/node-server", "@hono/zod-openapi"],
  /^contract\/|^server\/src\/http\/|\/http(?:\.test)?\.ts$/u,
  {
    breaks: [{ "server/src/meters/service.ts": 'import { Hono } from "hono/tiny";' }],
    keeps: { "server/src/meters/http.ts": 'import { Hono } from "hono";' },
  },
);

const bigNumbers = importRule("only the kernel imports big.js", ["big.js"], /^server\/src\/kernel\//u, {
  breaks: [{ "server/src/usage/a.ts": 'import Big from "big.js";' }],
  keeps: { "server/src/kernel/decimal.ts": 'import Big from "big.js";' },
});

const noDecimalJs = importRule("decimal.js, which rounds silently, is not used", ["decimal.js"], /^$/u, {
  breaks: [{ "server/src/kernel/a.ts": 'import { Decimal } from "decimal.js";' }],
  keeps: { "server/src/kernel/a.ts": 'import { Decimal } from "./decimal.ts";' },
});

/** Nodes that read `object.property`, in either notation. */
export function memberReads(file: SourceFile, object: string, property: string): readonly SyntaxNode[] {
  return file.nodes.filter((node) => {
    if (node.type !== "MemberExpression" || !isIdentifier(node["object"], object)) return false;
    const key = node["property"];
    return node["computed"] === true
      ? typeof key === "object" && key !== null && Reflect.get(key, "value") === property
      : isIdentifier(key, property);
  });
}

const environment: Rule = {
  name: "only app/config.ts reads the environment",
  check: (repository) =>
    repository.sources.flatMap((file) => {
      if (file.isTest || /^server\/src\/app\/config\.ts$|^server\/bench\/|^scripts\//u.test(file.path)) return [];
      const named = file.nodes.filter(
        (node) => node.type === "ImportSpecifier" && isIdentifier(node["imported"], "env"),
      );
      return [...memberReads(file, "process", "env"), ...named].map(
        (node) => `${file.at(node)}: reads the environment`,
      );
    }),
  breaks: [
    { "server/src/app/a.ts": "const a = process.env;" },
    { "server/src/app/a.ts": 'const a = process["env"]["A"];' },
    { "server/src/app/a.ts": 'import { env } from "node:process";' },
  ],
  keeps: {
    "server/src/app/config.ts": "const a = process.env;",
    "server/src/app/a.test.ts": "const a = process.env;",
    "server/src/app/a.ts": "const a = sources.env;",
  },
};

const temporal: Rule = {
  name: "only the kernel uses the Temporal API",
  check: (repository) =>
    repository.sources.flatMap((file) =>
      file.path.startsWith(`${SRC}kernel/`)
        ? []
        : file.nodes.flatMap((node) => (isIdentifier(node, "Temporal") ? [`${file.at(node)}: uses Temporal`] : [])),
    ),
  breaks: [
    { "server/src/usage/a.ts": "const a = Temporal.Now.instant();" },
    { "server/src/usage/a.ts": "function f(a: Temporal.Instant) {}" },
  ],
  keeps: { "server/src/kernel/a.ts": "const a = Temporal.Now.instant();", "server/src/usage/a.ts": "// Temporal" },
};

const CLOCK_FREE = /^server\/src\/kernel\/(?:clock|id)\.ts$|^server\/src\/app\/|^server\/bench\/|^scripts\//u;

const clock: Rule = {
  name: "clock and randomness are arguments",
  check: (repository) =>
    repository.sources.flatMap((file) => {
      if (file.isTest || CLOCK_FREE.test(file.path)) return [];
      const bareDates = file.nodes.filter(
        (node) =>
          node.type === "NewExpression" &&
          isIdentifier(node["callee"], "Date") &&
          Array.isArray(node["arguments"]) &&
          node["arguments"].length === 0,
      );
      return [...memberReads(file, "Date", "now"), ...memberReads(file, "Math", "random"), ...bareDates].map(
        (node) => `${file.at(node)}: takes the time or a random number by itself`,
      );
    }),
  breaks: [
    { "server/src/meters/a.ts": "const a = Date.now();" },
    { "server/src/meters/a.ts": "const a = Math.random();" },
    { "server/src/meters/a.ts": "const a = new Date();" },
  ],
  keeps: { "server/src/meters/a.ts": "const a = new Date(5);", "server/src/kernel/clock.ts": "const a = Date.now();" },
};

export const IMPORT_RULES: readonly Rule[] = [
  direction,
  noCircles,
  throughIndex,
  packages,
  drivers,
  kysely,
  hono,
  bigNumbers,
  noDecimalJs,
  environment,
  temporal,
  clock,
];
