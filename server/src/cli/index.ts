/** The command line: `tallystick serve | config | version`. */

export { COMMAND_NAMES, runCommandLine } from "./command-line.ts";
export type { Output } from "./command-line.ts";
