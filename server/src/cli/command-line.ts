/**
 * The command line. `serve` is what runs when no command is named, so that `npm start -- --address ...` works.
 *
 * Invariants: exit code 0 is success, 1 a failure while running, 2 a wrong command line or configuration; results go to
 * standard output and everything else to standard error; only `serve`, `backup` and `verify` load engines.
 * `verify` ends with 1 when it found differences and with 2 when it could not check.
 */

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { renderEffective, renderReference } from "../app/config/text.ts";
import { ConfigError, loadProcessConfig } from "../app/config.ts";
import type { ConfigFlags, LoadedConfig } from "../app/config.ts";
import { SETTINGS } from "../app/config/settings.ts";
import { nearestName } from "../app/config/suggestion.ts";
import { BackupError } from "../app/backup/files.ts";
import { StartError } from "../app/start-error.ts";
import { VerifyError } from "../app/verify/report.ts";
import { addBackupOptions, addRestoreOptions, backUp, restore } from "./backup-commands.ts";
import { addVerifyOptions, verify } from "./verify-command.ts";
import { versions } from "./versions.ts";

/** Where the command line writes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

const PROCESS_OUTPUT: Output = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
};

const EXIT_FAILURE = 1;
const EXIT_MISUSE = 2;

/** The commands there are; README.md mentions each. */
export const COMMAND_NAMES: readonly string[] = ["serve", "backup", "restore", "verify", "config", "version"];

const SERVE_HELP = `
Examples:
  tallystick serve
  tallystick serve --address 0.0.0.0:8888 --data-dir /var/lib/tallystick
  tallystick serve --set ingest.maxEvents=5000 --log-level debug
  TALLYSTICK_ADDRESS=0.0.0.0:8888 tallystick serve

Every setting, its default and its environment variable: docs/configuration.md
What is in effect and why:                               tallystick config`;

const CONFIG_HELP = `
Examples:
  tallystick config                        what is in effect, as YAML, with where each value came from
  tallystick config --address :::1         why an address is refused
  tallystick config > example.yaml         a file to start from (passwords are masked)`;

const PROGRAM_HELP = `
"serve" is the default: "tallystick --address 0.0.0.0:8888" starts the server.
From a clone of the repository, "npm start -- <arguments>" runs "tallystick <arguments>".`;

/** Reads the `key=value` of `--set` onto those given before. */
function readAssignment(text: string, before: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const separator = text.indexOf("=");
  if (separator < 1) throw new InvalidArgumentError("Write it as key=value, such as ingest.maxEvents=5000.");
  return new Map([...before, [text.slice(0, separator), text.slice(separator + 1)]]);
}

/** Adds the flags of the settings that have one, `--config` and `--set`. */
function addConfigFlags(command: Command): Command {
  for (const { flag, description, environmentVariable = "", initial } of SETTINGS) {
    if (flag === undefined) continue;
    const text = description.replaceAll("`", "");
    command.option(flag, `${text} (default: ${String(initial)}; environment: ${environmentVariable})`);
  }
  return command
    .option(
      "--config <file>",
      "Configuration file (default: tallystick.yaml if there is one; environment: TALLYSTICK_CONFIG)",
    )
    .option("--set <key=value>", "Any other setting; may be repeated", readAssignment);
}

function configFlags(command: Command): ConfigFlags {
  const options: Record<string, unknown> = command.opts();
  const values = new Map<string, string>(options["set"] instanceof Map ? options["set"] : []);
  for (const { flag = "", key } of SETTINGS) {
    // Commander names the option `--data-dir <directory>` dataDir and `--log-level <level>` logLevel.
    const name = flag
      .slice(2)
      .split(" ")[0]
      ?.replaceAll(/-([a-z])/gu, (_, letter: string) => letter.toUpperCase());
    const value = name === undefined ? undefined : options[name];
    if (typeof value === "string") values.set(key, value);
  }
  return { values, file: typeof options["config"] === "string" ? options["config"] : undefined };
}

function loadConfigOf(command: Command, output: Output): LoadedConfig {
  const loaded = loadProcessConfig(configFlags(command));
  for (const warning of loaded.warnings) output.error(`tallystick: ${warning}\n`);
  return loaded;
}

async function serve(command: Command, output: Output): Promise<void> {
  const { config } = loadConfigOf(command, output);
  // The engines take a moment to load, and no other command needs them.
  const { runServer } = await import("../app/compose.ts");
  await runServer(config);
}

function showConfig(command: Command, output: Output): void {
  if (command.opts()["reference"] === true) {
    output.out(renderReference());
    return;
  }
  output.out(renderEffective(loadConfigOf(command, output).effective));
}

/** `setExitCode` is for a command that did what it was asked to and ends with another code than 0. */
function buildProgram(output: Output, setExitCode: (code: number) => void): Command {
  const program = new Command("tallystick")
    .description("Tallystick meters usage: events in, exact answers out.")
    .addHelpText("after", PROGRAM_HELP)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: output.error })
    .showHelpAfterError("(run with --help for the flags)");
  // A command copies the settings above from its parent only when it is created by `command`.
  addConfigFlags(program.command("serve", { isDefault: true }).description("Start the server (the default command)."))
    .addHelpText("after", SERVE_HELP)
    .action(async (_, command: Command) => serve(command, output));
  addBackupOptions(
    addConfigFlags(program.command("backup").description("Back up the data directory, also while the server runs.")),
  ).action(async (_, command: Command) => backUp(loadConfigOf(command, output), command, output));
  addRestoreOptions(
    addConfigFlags(program.command("restore").description("Make a data directory out of a backup.")),
  ).action(async (_, command: Command) => restore(loadConfigOf(command, output), command, output));
  addVerifyOptions(
    addConfigFlags(program.command("verify").description("Check that the parts of a data directory agree.")),
  ).action(async (_, command: Command) => {
    if (!(await verify(loadConfigOf(command, output), command, output))) setExitCode(EXIT_FAILURE);
  });
  addConfigFlags(
    program.command("config").description("Print the configuration in effect and where each value came from."),
  )
    .option("--reference", "Print the reference page of all settings instead, in Markdown")
    .addHelpText("after", CONFIG_HELP)
    .action((_, command: Command) => showConfig(command, output));
  program
    .command("version")
    .description("Print the versions of Tallystick, Node and the embedded engines.")
    .action(() => {
      for (const [name, version] of versions()) output.out(`${name} ${version}\n`);
    });
  return program;
}

/** A word in the place of a command that is none; the default command would take it for an argument of its own. */
function misspeltCommand(first: string | undefined): string | undefined {
  if (first === undefined || first.startsWith("-") || first === "help" || COMMAND_NAMES.includes(first))
    return undefined;
  const nearest = nearestName(first, COMMAND_NAMES);
  const advice = nearest === undefined ? `commands are ${COMMAND_NAMES.join(", ")}` : `did you mean ${nearest}?`;
  return `unknown command "${first}", ${advice}`;
}

/**
 * Runs the command line `args` (without executable and script) and resolves with the exit code once it has finished;
 * for `serve` that is after the server has shut down. Rejects when the server fails while it runs.
 */
export async function runCommandLine(args: readonly string[], output: Output = PROCESS_OUTPUT): Promise<number> {
  const misspelt = misspeltCommand(args[0]);
  if (misspelt !== undefined) {
    output.error(`tallystick: ${misspelt}\n`);
    return EXIT_MISUSE;
  }
  let exitCode = 0;
  try {
    await buildProgram(output, (code) => (exitCode = code)).parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_MISUSE;
    if (error instanceof StartError) {
      output.error(`tallystick: cannot start: ${error.message}\n`);
      return EXIT_FAILURE;
    }
    if (error instanceof BackupError) {
      output.error(`tallystick: ${args[0] ?? ""} failed: ${error.message}\n`);
      return EXIT_FAILURE;
    }
    if (error instanceof VerifyError) {
      output.error(`tallystick: verify could not check: ${error.message}\n`);
      return EXIT_MISUSE;
    }
    if (!(error instanceof ConfigError)) throw error;
    output.error(`tallystick: the configuration cannot be used:\n${error.message.replaceAll(/^/gmu, "  ")}\n`);
    return EXIT_MISUSE;
  }
}
