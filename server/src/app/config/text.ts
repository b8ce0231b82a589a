/**
 * The configuration as text: the effective one, with the origin of every value, and the reference page. Both are made
 * from the schema, and the tidy test compares the committed page with `renderReference`.
 */

import { stringify } from "yaml";
import type { EffectiveSetting } from "../config.ts";
import { maskSecret, SECTIONS } from "./settings.ts";
import type { Section, Setting } from "./settings.ts";

function settingLines({ setting, value, origin }: EffectiveSetting, indent: string): readonly string[] {
  if (value === undefined) return [`${indent}# ${setting.name}: ${origin}`];
  if (setting.isList === true && Array.isArray(value) && value.length > 0) {
    const shownItems = setting.isSecret === true ? value.map(maskSecret) : value;
    const items = stringify(shownItems, { lineWidth: 0 }).trimEnd().split("\n");
    return [`${indent}${setting.name}: # ${origin}`, ...items.map((line) => `${indent}  ${line}`)];
  }
  const shown = setting.isSecret === true ? maskSecret(value) : value;
  return [`${indent}${setting.name}: ${stringify(shown, { lineWidth: 0 }).trimEnd()} # ${origin}`];
}

/** Prints the effective configuration as YAML that can be read back, with the origin of each value as a comment. */
export function renderEffective(effective: readonly EffectiveSetting[]): string {
  const lines = SECTIONS.flatMap(({ name }) => {
    const inSection = effective.filter(({ setting }) => setting.section === name);
    const body = inSection.flatMap((entry) => settingLines(entry, name === "" ? "" : "  "));
    if (name === "") return body;
    // A section whose keys are all unset would read back as null; as a comment it reads back as nothing.
    const isEmpty = inSection.every(({ value }) => value === undefined);
    return [`${isEmpty ? "# " : ""}${name}:`, ...body];
  });
  return `${lines.join("\n")}\n`;
}

function initialText(setting: Setting): string {
  if (setting.initial === undefined) return "not set";
  return `\`${typeof setting.initial === "string" ? setting.initial : JSON.stringify(setting.initial)}\``;
}

function referenceRow(setting: Setting): string {
  const flag = setting.flag === undefined ? "" : `<br>\`${setting.flag}\``;
  const variable =
    setting.environmentVariable === undefined ? "only in the file" : `\`${setting.environmentVariable}\``;
  const cells = [
    `\`${setting.key}\``,
    initialText(setting),
    `${setting.description} Expects ${setting.expected}.`,
    `${variable}${flag}`,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function referenceSection({ name, description, settings }: Section): string {
  const title = name === "" ? "## General" : `## \`${name}\`\n\n${description}`;
  const header = "| Key | Default | Meaning | Environment variable, flag |\n| --- | --- | --- | --- |";
  return `${title}\n\n${header}\n${settings.map(referenceRow).join("\n")}\n`;
}

const INTRODUCTION = `# Configuration

This page is generated from \`server/src/app/config/schema.ts\` by \`npm run docs:config\`; do not edit it.

Tallystick needs no configuration to start. What you do set can come from four places; the first that has a value wins:

1. a flag: \`npm start -- --address 0.0.0.0:8888\`, or \`--set <key>=<value>\` for keys without a flag of their own,
2. an environment variable: \`TALLYSTICK_ADDRESS=0.0.0.0:8888\`; an empty one counts as not set,
3. the file \`tallystick.yaml\` in the working directory, or the one named by \`--config\` or \`TALLYSTICK_CONFIG\`,
4. the default.

\`npm start -- config\` prints what is in effect and where each value came from. Unknown keys and wrong values stop the
start, all of them reported at once.

\`\`\`yaml
address: 0.0.0.0:8888
dataDir: /var/lib/tallystick
log:
  level: info
meters:
  - slug: tokens
    eventType: prompt
    aggregation: SUM
    valueProperty: $.tokens
    groupBy:
      model: $.model
\`\`\`
`;

/** Prints the reference page, docs/configuration.md. */
export function renderReference(): string {
  return [INTRODUCTION, ...SECTIONS.map(referenceSection)].join("\n");
}
