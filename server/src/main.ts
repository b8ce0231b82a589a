/**
 * The executable: hands the arguments to the command line and ends with its exit code. Nothing else happens here.
 */

import { runCommandLine } from "./cli/index.ts";

process.exitCode = await runCommandLine(process.argv.slice(2));
