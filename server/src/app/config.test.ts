/** Configuration: where values come from, what the problems say, and that its texts read back. */

import { describe, expect, test } from "vitest";
import { parseFixedDuration } from "./config/schema.ts";
import { renderEffective, renderReference } from "./config/text.ts";
import { ConfigError, loadConfig } from "./config.ts";
import type { ConfigSources, LoadedConfig } from "./config.ts";
import { maskSecret, SETTINGS } from "./config/settings.ts";

const LONG_SECRET = "0123456789abcdef0123456789abcdef";

interface Given {
  readonly flags?: Readonly<Record<string, string>>;
  readonly file?: string;
  readonly configFlag?: string;
  readonly env?: ConfigSources["env"];
  readonly isTerminal?: boolean;
}

function load({ flags = {}, file, configFlag, env = {}, isTerminal = false }: Given): LoadedConfig {
  return loadConfig({
    flags: { values: new Map(Object.entries(flags)), file: configFlag },
    env,
    cwd: "/work",
    readFile: (path) => (path === "/work/tallystick.yaml" ? file : undefined),
    isTerminal,
  });
}

function problemsOf(given: Given): readonly string[] {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  return [];
}

function originOf(loaded: LoadedConfig, key: string): string | undefined {
  return loaded.effective.find(({ setting }) => setting.key === key)?.origin;
}

describe("precedence", () => {
  test("nothing given", () => {
    const { config } = load({});
    expect(config.address).toEqual({ host: "127.0.0.1", port: 8888 });
    expect(config.dataDir).toBe("/work/data");
    expect(config.namespace).toBe("default");
    expect(config.ingest).toEqual({
      maxBodyBytes: 10_485_760,
      maxEvents: 10_000,
      maxEventBytes: 1_048_576,
      maxAttributeBytes: 1024,
      maxDepth: 64,
      maxBacklogEvents: 10_000_000,
      conflictRetentionDays: 90,
    });
    expect(config.log).toEqual({ level: "info", format: "json" });
  });

  const file = "log:\n  level: warn\n";
  const env = { TALLYSTICK_LOG_LEVEL: "debug" };
  const flags = { "log.level": "trace" };
  test.each([
    [{}, "info", "default"],
    [{ file }, "warn", "tallystick.yaml:2"],
    [{ file, env }, "debug", "environment variable TALLYSTICK_LOG_LEVEL"],
    [{ file, env, flags }, "trace", "flag --log-level"],
    [{ file, env: { TALLYSTICK_LOG_LEVEL: "" } }, "warn", "tallystick.yaml:2"],
  ])("%j", (given, level, origin) => {
    const loaded = load(given);
    expect([loaded.config.log.level, originOf(loaded, "log.level")]).toEqual([level, origin]);
  });

  test("a terminal only changes the default of the log format", () => {
    expect(load({ isTerminal: true }).config.log.format).toBe("pretty");
    expect(load({ isTerminal: true, env: { TALLYSTICK_LOG_FORMAT: "json" } }).config.log.format).toBe("json");
  });

  test("every scalar can be set by its environment variable, under a name of its own", () => {
    const scalars = SETTINGS.filter(({ isList }) => isList !== true);
    const names = new Set(scalars.map(({ environmentVariable }) => environmentVariable));
    expect(names.size).toBe(scalars.length);
    expect(names).toContain("TALLYSTICK_INGEST_MAX_BODY_BYTES");
    for (const { environmentVariable = "", key, isInteger } of scalars) {
      // A wrong value shows that the variable is read: the problem names it.
      if (!isInteger) continue;
      const [problem] = problemsOf({ env: { [environmentVariable]: "ten" } });
      expect(problem).toContain(`${key}: "ten" is not valid: expected a whole number from`);
      expect(problem).toContain(`(environment variable ${environmentVariable})`);
    }
  });

  test("numbers from text, durations, lists", () => {
    const { config } = load({
      env: { TALLYSTICK_INGEST_MAX_EVENTS: "500", TALLYSTICK_INGEST_MAX_PAST: "P1DT2H" },
      file: "reservedEventTypes: ['^_']\nmeters:\n  - {slug: calls, eventType: call, aggregation: COUNT}\ningest:\n",
    });
    expect(config.ingest.maxEvents).toBe(500);
    expect(config.ingest.maxPast).toEqual({ text: "P1DT2H", ms: 93_600_000 });
    expect(config.meters).toEqual([{ slug: "calls", eventType: "call", aggregation: "COUNT" }]);
  });
});

describe("problems", () => {
  test.each<[Given, string]>([
    [{ file: "adress: x\n" }, "adress: unknown key, did you mean address? (tallystick.yaml:1)"],
    [{ file: "ingest:\n  maxEvent: 5\n" }, "ingest.maxEvent: unknown key, did you mean ingest.maxEvents?"],
    [{ file: "maxDepth: 5\n" }, "maxDepth: unknown key, did you mean ingest.maxDepth? (tallystick.yaml:1)"],
    [{ file: "colour: blue\n" }, "colour: unknown key, see docs/configuration.md"],
    [{ file: "ingest: 5\n" }, "ingest: is a section"],
    [{ file: "- a\n" }, "tallystick.yaml: the file does not consist of keys and values"],
    [{ file: "log:\n  level: info\n  level: warn\n" }, "tallystick.yaml: not valid YAML:"],
    [
      { file: "ingest:\n  maxBodyBytes: 10MiB\n" },
      'ingest.maxBodyBytes: "10MiB" is not valid: expected a whole number',
    ],
    [{ file: "ingest:\n  maxEvents: 0\n" }, "0 is not valid: expected a whole number from 1 to 1000000"],
    [{ file: "log:\n  level: loud\n" }, 'log.level: "loud" is not valid: expected one of trace, debug'],
    [{ flags: { address: "8888" } }, "a port alone does not say who may connect"],
    [{ flags: { address: "::1:80" } }, "an IPv6 address needs brackets"],
    [{ flags: { "ingest.maxPast": "P1M" } }, 'ingest.maxPast: "P1M" is not valid: an ISO 8601 duration'],
    [{ flags: { "portal.enabled": "yes" } }, 'portal.enabled: "yes" is not valid: expected true or false'],
    [{ file: "portal:\n  tokenSecrets: []\n" }, "an empty list leaves nothing to sign with"],
    [
      { file: `portal:\n  tokenSecrets: [${LONG_SECRET}, ""]\n` },
      "portal.tokenSecrets[1]: *** is not valid: an empty secret",
    ],
    [{ flags: { "portal.tokenSecret": "a" }, file: "portal:\n  tokenSecrets: [b]\n" }, "put all secrets into the list"],
    [{ flags: { "portal.tokenExpiration": "PT0S" } }, "must be at least a second"],
    [
      { flags: { "portal.maxTokenExpiration": "PT59M" } },
      "is shorter than portal.tokenExpiration, PT1H: shorten that too",
    ],
    [
      { flags: { "portal.enabled": "true", "postgres.url": "postgres://host/db" } },
      "portal.enabled: needs a secret: set portal.tokenSecret",
    ],
    [{ flags: { meters: "[]" } }, "meters: is a list: set it in the file (flag --set meters)"],
    [{ flags: { "ingest.maxevents": "1" } }, "did you mean ingest.maxEvents? (flag --set ingest.maxevents)"],
    [{ configFlag: "other.yaml" }, "other.yaml: there is no such file (flag --config)"],
    [
      { env: { TALLYSTICK_CONFIG: "x.yaml" } },
      "x.yaml: there is no such file (environment variable TALLYSTICK_CONFIG)",
    ],
    [
      { file: "reservedEventTypes: ['(']\n" },
      'reservedEventTypes[0]: "(" is not valid: not a valid regular expression',
    ],
  ])("%j", (given, want) => {
    expect(problemsOf(given).join("\n")).toContain(want);
  });

  test.each([
    ["{slug: A, eventType: a, aggregation: COUNT}", "meters[0].slug"],
    ["{slug: a, eventType: a, aggregation: MEDIAN}", "meters[0].aggregation"],
    ["{slug: a, aggregation: COUNT}", "meters[0].eventType: is required"],
    ["{slug: a, eventType: a, aggregation: SUM}", "meters[0].valueProperty: every aggregation except COUNT needs"],
    ["{slug: a, eventType: a, aggregation: COUNT, valueProperty: $.x}", "a COUNT meter counts events"],
    ["{slug: a, eventType: a, aggregation: COUNT, groupby: {}}", "unknown key groupby, did you mean groupBy?"],
    ["{slug: a, eventType: a, aggregation: COUNT, groupBy: {subject: $.x}}", "reserved dimension keys"],
    ["{slug: a, eventType: _a, aggregation: COUNT}", "is reserved by the entry ^_ of reservedEventTypes"],
    ["{slug: b, eventType: a, aggregation: COUNT}", "two meters have the same slug"],
  ])("meter %s", (meter, want) => {
    const second = "{slug: b, eventType: b, aggregation: COUNT}";
    const file = `reservedEventTypes: ["^_"]\nmeters:\n  - ${meter}\n  - ${second}\n`;
    expect(problemsOf({ file }).join("\n")).toContain(want);
  });

  test("all at once", () => {
    const problems = problemsOf({
      file: "ingst: 1\nsink:\n  lingerMs: -1\n",
      env: { TALLYSTICK_ADDRESS: "1" },
      flags: { "log.format": "xml" },
    });
    expect(problems).toHaveLength(4);
  });

  test("a secret that might be guessed is worth a warning", () => {
    const file = `portal:\n  tokenSecrets: ["${LONG_SECRET}", "${LONG_SECRET.slice(1)}"]\n`;
    expect(load({ file }).warnings).toEqual([
      expect.stringMatching(/^a secret of portal tokens has less than 32 bytes/u),
    ]);
    expect(load({ env: { TALLYSTICK_PORTAL_TOKEN_SECRET: LONG_SECRET } }).warnings).toEqual([]);
    expect(load({ flags: { "portal.tokenSecret": "short" } }).warnings).toHaveLength(1);
  });

  test("the portal's switches are read from text and from the file", () => {
    const on = load({ env: { TALLYSTICK_PORTAL_ENABLED: "true" }, flags: { "portal.corsEnabled": "false" } }).config;
    expect(on.portal).toMatchObject({ enabled: true, corsEnabled: false, rateLimit: 120 });
    expect(on.portal.tokenExpiration).toEqual({ text: "PT1H", ms: 3_600_000 });
    const off = load({ file: "portal:\n  enabled: false\n" }).config;
    expect(off.portal).toMatchObject({ enabled: false, corsEnabled: true });
    expect(load({}).config.portal.enabled).toBeUndefined();
  });

  test("a secret is never shown", () => {
    const [problem] = problemsOf({ env: { TALLYSTICK_POSTGRES_URL: "mysql://me:hunter2@host/db?password=hunter2" } });
    expect(problem).toContain("mysql://me:***@host/db");
    expect(problem).toContain("expected a URL such as");
    expect(problem).not.toContain("hunter2");
    expect(maskSecret("hunter2")).toBe("***");
  });

  test("a misspelt variable is a warning, a foreign one nothing", () => {
    const { warnings } = load({ env: { TALLYSTICK_ADRESS: "x", TALLYSTICK_PORT_8888_TCP_PROTO: "tcp" } });
    expect(warnings).toEqual(["unknown environment variable TALLYSTICK_ADRESS, did you mean TALLYSTICK_ADDRESS?"]);
  });
});

describe("durations of fixed length", () => {
  test.each([
    ["PT1S", 1000],
    ["PT1M", 60_000],
    ["P1W", 604_800_000],
    ["P1DT1H", 90_000_000],
    ["PT0S", 0],
    ["P", undefined],
    ["PT", undefined],
    ["P1M", undefined],
    ["P1Y", undefined],
    ["-PT1S", undefined],
    ["1h", undefined],
  ])("%s", (text, ms) => {
    expect(parseFixedDuration(text)?.ms).toBe(ms);
  });
});

describe("texts", () => {
  const file = [
    'address: "[::1]:9999"',
    "namespace: '# not a comment: really'",
    "reservedEventTypes: ['^_', 'a: b # c']",
    "meters:",
    "  - {slug: tokens, eventType: prompt, aggregation: SUM, valueProperty: $.n, groupBy: {model: '$[\"a b\"]'}}",
    "  - {slug: calls, eventType: call, aggregation: COUNT}",
    "ingest: {maxPast: P30D, maxEvents: 7}",
    "",
  ].join("\n");

  test("the effective configuration reads back as the same configuration", () => {
    const loaded = load({ file });
    const text = renderEffective(loaded.effective);
    expect(text).toContain("maxEvents: 7 # tallystick.yaml:7");
    expect(load({ file: text }).config).toEqual(loaded.config);
  });

  test("every secret of a list is masked in it", () => {
    const text = renderEffective(load({ file: `portal:\n  tokenSecrets: ["${LONG_SECRET}", "key:abc"]\n` }).effective);
    expect(text).toContain('tokenSecrets: # tallystick.yaml:2\n    - "***"\n    - "***"\n');
    expect(text).not.toMatch(/0123|abc/u);
  });

  test("secrets are masked in it", () => {
    const { effective } = load({ env: { TALLYSTICK_POSTGRES_URL: "postgres://me:hunter2@host/db" } });
    const text = renderEffective(effective);
    expect(text).toContain("url: postgres://me:***@host/db # environment variable TALLYSTICK_POSTGRES_URL");
    expect(text).not.toContain("hunter2");
  });

  test("the reference page has every key and every variable", () => {
    const page = renderReference();
    for (const { key, environmentVariable = key } of SETTINGS) {
      expect(page).toContain(`| \`${key}\` |`);
      expect(page).toContain(`\`${environmentVariable}\``);
    }
  });
});
