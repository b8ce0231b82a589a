/**
 * The repository as the tidy rules see it: paths and texts, with the syntax trees of source files made on demand. Rules
 * look at nothing else, so that a rule's own examples are small repositories of a file or two.
 */

import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { parseAst } from "vitest/node";

/** A node of the syntax tree, in the ESTree shape that the parser of Vitest returns. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface ImportStatement {
  readonly specifier: string;
  /** Written as `import type`, so nothing is left of it at run time. */
  readonly isType: boolean;
  readonly line: number;
}

/** A TypeScript or JavaScript file. */
export class SourceFile {
  readonly path: string;
  readonly text: string;
  #nodes: readonly SyntaxNode[] | undefined;

  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
  }

  get isTest(): boolean {
    return isTestPath(this.path);
  }

  /** Every node of the file, parents before children. */
  get nodes(): readonly SyntaxNode[] {
    this.#nodes ??= flatten(parseAst(this.text, { lang: "ts" }, this.path));
    return this.#nodes;
  }

  /** One-based line of a position. */
  lineAt(position: number): number {
    return this.text.slice(0, position).split("\n").length;
  }

  /** Static, dynamic and type imports, and re-exports. */
  get imports(): readonly ImportStatement[] {
    return this.nodes.flatMap((node) => {
      const { source } = node;
      if (!isNode(source) || typeof source["value"] !== "string") return [];
      return [{ specifier: source["value"], isType: node["importKind"] === "type", line: this.lineAt(node.start) }];
    });
  }

  /** `path:line`, for messages. */
  at(node: SyntaxNode): string {
    return `${this.path}:${this.lineAt(node.start)}`;
  }
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

/** True for the node that stands for the plain name `name`. */
export function isIdentifier(value: unknown, name: string): boolean {
  return isNode(value) && value.type === "Identifier" && value["name"] === name;
}

function flatten(root: unknown): readonly SyntaxNode[] {
  const found: SyntaxNode[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) visit(item);
    } else if (isNode(value)) {
      found.push(value);
      for (const child of Object.values(value)) if (typeof child === "object") visit(child);
    }
  };
  visit(root);
  return found;
}

/** Tests, the suites that tests of several implementations share, and what stands ready for tests. */
export function isTestPath(path: string): boolean {
  return /\.test\.ts$|\/(?:[a-z-]+-)?conformance(?:\/|[^/]*\.ts$)|\/(?:[a-z-]+-)?fixtures?(?:\/|\.ts$)|^server\/test\//u.test(
    path,
  );
}

export class Repository {
  readonly #texts: ReadonlyMap<string, string>;
  readonly sources: readonly SourceFile[];

  constructor(texts: ReadonlyMap<string, string>) {
    this.#texts = texts;
    this.sources = [...texts].flatMap(([path, text]) =>
      [".ts", ".mjs"].includes(extname(path)) ? [new SourceFile(path, text)] : [],
    );
  }

  get paths(): readonly string[] {
    return [...this.#texts.keys()];
  }

  text(path: string): string | undefined {
    return this.#texts.get(path);
  }

  /** Paths that match `pattern` with their texts. */
  matching(pattern: RegExp): readonly (readonly [path: string, text: string])[] {
    return [...this.#texts].filter(([path]) => pattern.test(path));
  }

  /** True for a file or folder of the repository. */
  has(path: string): boolean {
    return this.#texts.has(path) || this.paths.some((file) => file.startsWith(`${path.replace(/\/$/u, "")}/`));
  }

  /** True when the file `path` exists and has something to say about `subject`. */
  mentions(path: string, subject: string): boolean {
    return this.text(path)?.includes(subject) ?? false;
  }
}

const IGNORED_FOLDERS = new Set(["node_modules", ".git", "coverage", "dist"]);
/** At the top these hold what programs write. */
const IGNORED_AT_TOP = new Set(["data", "tmp"]);
const BINARY = new Set([".png", ".ico", ".woff2", ".cpuprofile", ".log"]);

/** Reads the repository at `root` from disk. */
export function readRepository(root: string): Repository {
  const texts = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!IGNORED_FOLDERS.has(entry.name) && !IGNORED_AT_TOP.has(path)) visit(path);
      } else if (entry.isFile() && !BINARY.has(extname(path))) {
        texts.set(path, readFileSync(join(root, path), "utf8"));
      }
    }
  };
  visit("");
  return new Repository(texts);
}
