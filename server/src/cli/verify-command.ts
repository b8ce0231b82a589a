/**
 * `tallystick verify`: what it prints. Reads the configuration as `serve` does, so that it means the same data directory.
 * Progress goes to standard error, and only to people: when that is a terminal.
 */

import type { Command } from "commander";
import type { LoadedConfig } from "../app/config.ts";
import {
  type CheckName,
  type CheckReport,
  type Progress,
  VerifyError,
  type VerifyReport,
} from "../app/verify/report.ts";
import type { Output } from "./command-line.ts";

const VERIFY_HELP = `
The server must be stopped. Nothing is changed without --repair, except that opening the log cuts off a record that was never
acknowledged, as a start of the server does.

Exit code: 0 everything agrees, 1 differences found (also when --repair marked them), 2 could not check.

Examples:
  tallystick verify --data-dir /var/lib/tallystick
  tallystick verify --json > report.json
  tallystick verify --repair               then start the server, which computes the marked parts of roll-ups again

What is checked and what to do about differences: docs/verify.md`;

const TITLES: Readonly<Record<CheckName, string>> = {
  log_files: "log files",
  claims_files: "claims files",
  state: "state store",
  events_log: "events and log",
  events_once: "events once",
  claims_events: "claims and events",
  conflicts: "conflicts",
  roll_ups: "roll-ups",
  roll_up_chunks: "roll-up chunks",
};

const PROGRESS_INTERVAL_MS = 200;

/** Adds the options of `verify` to a command that has those of the configuration. */
export function addVerifyOptions(command: Command): Command {
  return command
    .option("--repair", "Mark roll-ups that differ from their events, so that the server computes them again")
    .option("--json", "Print one JSON document instead of text")
    .addHelpText("after", VERIFY_HELP);
}

/** Verifies and prints; resolves with whether everything agrees. Rejects with a `VerifyError` when it could not check. */
export async function verify({ config }: LoadedConfig, command: Command, output: Output): Promise<boolean> {
  const { verifyDataDirectory } = await import("../app/verify/verify.ts");
  const options: Record<string, unknown> = command.opts();
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => interrupted.abort(new VerifyError(`interrupted by ${signal}`));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const progress = process.stderr.isTTY ? new ProgressLine(output) : null;
  try {
    const report = await verifyDataDirectory({
      dataDirectory: config.dataDir,
      repair: options["repair"] === true,
      signal: interrupted.signal,
      ...(config.postgres.url === undefined ? {} : { postgresUrl: config.postgres.url }),
      ...(progress === null ? {} : { onProgress: (at: Progress) => progress.show(at) }),
    });
    progress?.clear();
    output.out(options["json"] === true ? `${JSON.stringify(report, null, 2)}\n` : verifyText(report));
    return report.isClean;
  } finally {
    progress?.clear();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

/** One line that is written over and over. */
class ProgressLine {
  readonly #output: Output;
  #nextMs = 0;
  #length = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  show({ step, done, total }: Progress): void {
    if (performance.now() < this.#nextMs) return;
    this.#nextMs = performance.now() + PROGRESS_INTERVAL_MS;
    const text = `${step}: ${Math.floor((100 * done) / Math.max(1, total))} %`;
    this.#output.error(`\r${text.padEnd(this.#length)}`);
    this.#length = text.length;
  }

  clear(): void {
    if (this.#length > 0) this.#output.error(`\r${" ".repeat(this.#length)}\r`);
    this.#length = 0;
  }
}

/** One line a check, then the differences of each. */
function verifyText(report: VerifyReport): string {
  const lines = report.checks.map(({ name, status, compared, differences, isAtLeast }) => {
    const count = `${isAtLeast ? "at least " : ""}${differences} ${differences === 1 ? "difference" : "differences"}`;
    const result = { clean: "ok", skipped: "skipped", different: count }[status];
    return `${TITLES[name].padEnd(17)}  ${result}: ${compared}`;
  });
  const details = report.checks.flatMap((check) => detailsOf(check));
  const repaired = report.repaired.length === 0 ? [] : ["", "Repaired:", ...report.repaired.map((each) => `  ${each}`)];
  const end = `${report.isClean ? "Everything agrees" : "Not everything agrees"} in ${report.dataDirectory} (${report.seconds.toFixed(1)} s).`;
  return `${[...lines, ...details, ...repaired, "", end].join("\n")}\n`;
}

function detailsOf({ name, differences, examples, notes, advice }: CheckReport): readonly string[] {
  const lines = [...examples];
  if (differences > examples.length && examples.length > 0) lines.push(`and ${differences - examples.length} more`);
  lines.push(...notes.map((note) => `note: ${note}`));
  if (advice !== null) lines.push(`What to do: ${advice}`);
  return lines.length === 0 ? [] : ["", `${TITLES[name]}:`, ...lines.map((line) => `  ${line}`)];
}
