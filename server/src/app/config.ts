/**
 * Reads the configuration. A flag beats an environment variable, which beats the file, which beats the default.
 *
 * Invariants: all problems are reported at once, each with the key, the value, where it came from and what would be
 * right; an unknown key is a problem, never ignored; a secret never appears in a message. This is the only file that
 * reads the process environment, and `loadConfig` itself reads nothing but its arguments.
 */

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, isNode, parseDocument } from "yaml";
import type { Document } from "yaml";
import type { z } from "zod";
import { configSchema, METER_KEYS } from "./config/schema.ts";
import type { Config } from "./config/schema.ts";
import { maskSecret, SECTIONS, SETTINGS } from "./config/settings.ts";
import type { Setting } from "./config/settings.ts";
import { nearestName } from "./config/suggestion.ts";

export type { Config, FixedDuration, MeterSeed } from "./config/schema.ts";
export type { ListenAddress } from "./config/address.ts";

const DEFAULT_FILE = "tallystick.yaml";

/** As many bytes as the signature has. */
const SAFE_SECRET_BYTES = 32;

/** Where a value came from, such as `flag --address`, `environment variable TALLYSTICK_ADDRESS` or `tallystick.yaml:3`. */
export type Origin = string;

/** One setting with the value that won, as it was written. */
export interface EffectiveSetting {
  readonly setting: Setting;
  /** Undefined when the key is not set and has no default. */
  readonly value: unknown;
  readonly origin: Origin;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Every setting in the order of the schema. */
  readonly effective: readonly EffectiveSetting[];
  /** Sentences about input that is probably a mistake but cannot be refused. */
  readonly warnings: readonly string[];
}

export interface ConfigProblem {
  /** The key, or the name of the file or flag when no key is concerned. */
  readonly key: string;
  /** What is wrong and what would be right. */
  readonly message: string;
  readonly origin: Origin;
}

/** The configuration cannot be used; `message` lists every problem on a line of its own. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(({ key, message, origin }) => `${key}: ${message} (${origin})`).join("\n"));
    this.problems = problems;
  }
}

/** What was given on the command line. */
export interface ConfigFlags {
  /** Values by key, such as `{address: "127.0.0.1:9000"}`. */
  readonly values: ReadonlyMap<string, string>;
  /** The path given with `--config`. */
  readonly file?: string | undefined;
}

/** Everything that `loadConfig` depends on. */
export interface ConfigSources {
  readonly flags: ConfigFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Returns the text of a file, or undefined when there is none. */
  readonly readFile: (path: string) => string | undefined;
  /** Logs are pretty by default on a terminal. */
  readonly isTerminal: boolean;
}

interface Candidate {
  readonly value: unknown;
  readonly origin: Origin;
}

/** Candidates by key; a layer read later replaces those of an earlier one. */
type Candidates = Map<string, Candidate>;

const SETTING_BY_KEY: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((setting) => [setting.key, setting]));
const SECTION_NAMES: ReadonlySet<string> = new Set(SECTIONS.map(({ name }) => name));

/** Turns the text of a flag or variable into what the file would hold; wrong text stays for the schema to refuse. */
function valueOfText(setting: Setting, text: string): unknown {
  return setting.isInteger && /^-?\d{1,15}$/u.test(text) ? Number(text) : text;
}

function unknownKey(key: string, origin: Origin): ConfigProblem {
  const name = key.slice(key.lastIndexOf(".") + 1);
  const nearest =
    nearestName(key, [...SETTING_BY_KEY.keys(), ...SECTION_NAMES]) ??
    SETTINGS.find((setting) => setting.name === name)?.key;
  const advice = nearest === undefined ? "see docs/configuration.md" : `did you mean ${nearest}?`;
  return { key, message: `unknown key, ${advice}`, origin };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The line of a key in the file, so that a problem can be found at once. */
function lineOf(document: Document, lines: LineCounter, path: readonly string[]): number | undefined {
  const node = document.getIn(path, true);
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}

function readFileLayer(name: string, text: string, candidates: Candidates, problems: ConfigProblem[]): void {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  for (const error of document.errors) {
    problems.push({
      key: name,
      message: `not valid YAML: ${error.message}`,
      origin: `${name}:${lines.linePos(error.pos[0]).line}`,
    });
  }
  if (document.errors.length > 0) return;
  const root: unknown = document.toJS() ?? {};
  if (!isRecord(root)) {
    problems.push({ key: name, message: "the file does not consist of keys and values", origin: name });
    return;
  }
  const visit = (path: readonly string[], value: unknown): void => {
    const key = path.join(".");
    const line = lineOf(document, lines, path);
    const origin = line === undefined ? name : `${name}:${line}`;
    if (SETTING_BY_KEY.has(key)) {
      // A key without a value says nothing.
      if (value !== null) candidates.set(key, { value, origin });
    } else if (!SECTION_NAMES.has(key)) {
      problems.push(unknownKey(key, origin));
    } else if (isRecord(value)) {
      for (const [child, inner] of Object.entries(value)) visit([...path, child], inner);
    } else if (value !== null) {
      problems.push({ key, message: "is a section: write its keys below it, indented", origin });
    }
  };
  for (const [key, value] of Object.entries(root)) visit([key], value);
}

function readEnvironmentLayer(env: ConfigSources["env"], candidates: Candidates): readonly string[] {
  const known = new Map(SETTINGS.map((setting) => [setting.environmentVariable, setting]));
  const names = [...known.keys()].filter((name) => name !== undefined);
  const warnings: string[] = [];
  for (const [name, text] of Object.entries(env)) {
    // An empty variable is how container files say "not set".
    if (text === undefined || text === "" || !name.startsWith("TALLYSTICK_")) continue;
    const setting = known.get(name);
    if (setting !== undefined) {
      candidates.set(setting.key, { value: valueOfText(setting, text), origin: `environment variable ${name}` });
      continue;
    }
    // Orchestrators add variables of their own for a service of this name, so an unknown one cannot be an error.
    const nearest = name === "TALLYSTICK_CONFIG" ? undefined : nearestName(name, names);
    if (nearest !== undefined) warnings.push(`unknown environment variable ${name}, did you mean ${nearest}?`);
  }
  return warnings;
}

function readFlagLayer(flags: ConfigFlags, candidates: Candidates, problems: ConfigProblem[]): void {
  for (const [key, text] of flags.values) {
    const setting = SETTING_BY_KEY.get(key);
    const origin = setting?.flag === undefined ? `flag --set ${key}` : `flag ${setting.flag.split(" ")[0] ?? ""}`;
    if (setting === undefined) problems.push(unknownKey(key, origin));
    else if (setting.isList === true) problems.push({ key, message: "is a list: set it in the file", origin });
    else candidates.set(key, { value: valueOfText(setting, text), origin });
  }
}

/** The configuration file's name as the user knows it, and its text; the default file may be missing. */
function findFile(sources: ConfigSources, problems: ConfigProblem[]): { name: string; text: string } | undefined {
  const flag = sources.flags.file;
  const variable = sources.env["TALLYSTICK_CONFIG"];
  const given = flag ?? (variable === "" ? undefined : variable);
  const name = given ?? DEFAULT_FILE;
  const text = sources.readFile(resolve(sources.cwd, name));
  if (text !== undefined) return { name, text };
  if (given !== undefined) {
    const origin = flag === undefined ? "environment variable TALLYSTICK_CONFIG" : "flag --config";
    problems.push({ key: name, message: "there is no such file", origin });
  }
  return undefined;
}

function show(setting: Setting, value: unknown): string {
  if (setting.isSecret === true) return maskSecret(value);
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .slice(1);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, part) => (typeof inner === "object" && inner !== null ? Reflect.get(inner, part) : undefined),
    value,
  );
}

/** Puts a violation of the schema into a sentence that names the value and what would be right. */
function problemOf(issue: z.core.$ZodIssue, raw: unknown, origins: Candidates): ConfigProblem {
  const setting =
    SETTING_BY_KEY.get(pathText(issue.path)) ??
    SETTING_BY_KEY.get(String(issue.path[0])) ??
    SETTING_BY_KEY.get(pathText(issue.path.slice(0, 2)));
  const key = pathText(issue.path);
  const origin = (setting === undefined ? undefined : origins.get(setting.key)?.origin) ?? "default";
  if (issue.code === "unrecognized_keys") {
    const [unknown = ""] = issue.keys;
    const nearest = nearestName(unknown, METER_KEYS);
    const advice = nearest === undefined ? `known are ${METER_KEYS.join(", ")}` : `did you mean ${nearest}?`;
    return { key, message: `unknown key ${unknown}, ${advice}`, origin };
  }
  if (issue.code === "invalid_key") return { key, message: issue.issues[0]?.message ?? issue.message, origin };
  const value = valueAt(raw, issue.path);
  const isWhole = setting !== undefined && setting.key === key;
  // Rules with a sentence of their own say more than the general expectation of the key.
  const reason = issue.code === "custom" || !isWhole ? issue.message : `expected ${setting.expected}`;
  if (value === undefined && issue.code === "invalid_type") return { key, message: "is required", origin };
  const shown = setting === undefined || value === undefined ? "" : `${show(setting, value)} is not valid: `;
  return { key, message: `${shown}${reason}`, origin };
}

/** Nests the winning values the way the schema does; every section exists, so that its defaults apply. */
function nest(candidates: Candidates): Record<string, unknown> {
  const raw: Record<string, unknown> = {};
  for (const { name, settings } of SECTIONS) {
    const values = settings.flatMap((setting) => {
      const candidate = candidates.get(setting.key);
      return candidate === undefined ? [] : [[setting.name, candidate.value] as const];
    });
    if (name === "") Object.assign(raw, Object.fromEntries(values));
    else raw[name] = Object.fromEntries(values);
  }
  return raw;
}

function reservedMeterProblems(config: Config, candidates: Candidates): readonly ConfigProblem[] {
  const origin = candidates.get("meters")?.origin ?? "default";
  return config.meters.flatMap(({ eventType }, index) => {
    const pattern = config.reservedEventTypes.find((text) => new RegExp(text, "u").test(eventType));
    if (pattern === undefined) return [];
    const message = `"${eventType}" is reserved by the entry ${pattern} of reservedEventTypes: use another event type`;
    return [{ key: `meters[${index}].eventType`, message, origin }];
  });
}

/** What the keys of the portal say together. */
function portalProblems({ portal, postgres }: Config, candidates: Candidates): readonly ConfigProblem[] {
  const { enabled, tokenSecret, tokenSecrets, tokenExpiration, maxTokenExpiration } = portal;
  const problem = (name: string, message: string): ConfigProblem => {
    const key = `portal.${name}`;
    return { key, message, origin: candidates.get(key)?.origin ?? "default" };
  };
  const problems: ConfigProblem[] = [];
  if (tokenSecret !== undefined && tokenSecrets !== undefined) {
    problems.push(problem("tokenSecrets", "is set together with portal.tokenSecret: put all secrets into the list"));
  }
  if (enabled === true && postgres.url !== undefined && tokenSecret === undefined && tokenSecrets === undefined) {
    problems.push(problem("enabled", "needs a secret: set portal.tokenSecret to a text of at least 32 random bytes"));
  }
  if (maxTokenExpiration !== undefined && maxTokenExpiration.ms < tokenExpiration.ms) {
    const message = `is shorter than portal.tokenExpiration, ${tokenExpiration.text}: shorten that too`;
    problems.push(problem("maxTokenExpiration", message));
  }
  return problems;
}

function shortSecretWarnings({ portal }: Config): readonly string[] {
  const secrets = [...(portal.tokenSecret === undefined ? [] : [portal.tokenSecret]), ...(portal.tokenSecrets ?? [])];
  const count = secrets.filter((secret) => Buffer.byteLength(secret) < SAFE_SECRET_BYTES).length;
  if (count === 0) return [];
  return [
    `${count === 1 ? "a secret" : `${count} secrets`} of portal tokens has less than ${SAFE_SECRET_BYTES} bytes and might be ` +
      "guessed; use a longer one, such as the output of: openssl rand -base64 32",
  ];
}

/**
 * Loads the configuration from `sources`. Throws `ConfigError` with all problems. `dataDir` comes back absolute.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: ConfigProblem[] = [];
  const candidates: Candidates = new Map();
  if (sources.isTerminal) candidates.set("log.format", { value: "pretty", origin: "default on a terminal" });
  const file = findFile(sources, problems);
  if (file !== undefined) readFileLayer(file.name, file.text, candidates, problems);
  const warnings = [...readEnvironmentLayer(sources.env, candidates)];
  readFlagLayer(sources.flags, candidates, problems);

  const raw = nest(candidates);
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => problemOf(issue, raw, candidates)));
  else problems.push(...reservedMeterProblems(parsed.data, candidates), ...portalProblems(parsed.data, candidates));
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);

  warnings.push(...shortSecretWarnings(parsed.data));
  const effective = SETTINGS.map((setting): EffectiveSetting => {
    const candidate = candidates.get(setting.key);
    const origin = setting.initial === undefined ? "not set" : "default";
    return { setting, value: candidate?.value ?? setting.initial, origin: candidate?.origin ?? origin };
  });
  return { config: { ...parsed.data, dataDir: resolve(sources.cwd, parsed.data.dataDir) }, effective, warnings };
}

function readFileIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([{ key: path, message: `cannot be read: ${reason}`, origin: dirname(path) }]);
  }
}

/** Loads the configuration of this process: its environment, working directory and files, and the given flags. */
export function loadProcessConfig(flags: ConfigFlags): LoadedConfig {
  return loadConfig({
    flags,
    env: process.env,
    cwd: process.cwd(),
    readFile: readFileIfPresent,
    isTerminal: process.stdout.isTTY,
  });
}
