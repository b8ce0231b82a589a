/** Runs the load generator as a process of its own and reads its report. */

import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { LoadReport } from "./load.ts";
import type { MeasuredServer } from "./measured-server.ts";

const GENERATOR = fileURLToPath(new URL("load-generator.ts", import.meta.url));

/** Sends one load to the server; `load` are the generator's options by name. Rejects when the server refused events. */
export async function generate(
  server: MeasuredServer,
  load: Readonly<Record<string, string | number>>,
): Promise<LoadReport> {
  const options = Object.entries(load).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [GENERATOR, "--address", server.address, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output = await text(child.stdout);
  if (output === "") throw new Error("the load generator ended without a report, see its output above");
  const report: LoadReport = JSON.parse(output);
  return report;
}
