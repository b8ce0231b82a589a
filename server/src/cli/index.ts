/** The command line: `tallystick serve | backup | restore | verify | config | version`. */

export { COMMAND_NAMES, runCommandLine } from "./command-line.ts";
export type { Output } from "./command-line.ts";
