/** The command line: what goes to standard output, what to standard error, and the exit codes. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCommandLine } from "./index.ts";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

async function run(...args: readonly string[]): Promise<Ran> {
  const out: string[] = [];
  const error: string[] = [];
  const code = await runCommandLine(args, { out: (text) => out.push(text), error: (text) => error.push(text) });
  return { code, out: out.join(""), error: error.join("") };
}

let folder = "";
let file = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tallystick-cli-"));
  file = join(folder, "some.yaml");
  writeFileSync(file, "log:\n  level: warn\nquery:\n  maxRows: 5\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("results", () => {
  test("version names us, the runtime and the engines", async () => {
    const { code, out } = await run("version");
    expect(code).toBe(0);
    expect(out).toMatch(/^tallystick \d+\.\d+\.\d+\nnode 26\.\d+\.\d+\nchdb \d+\.\d+\.\d+\npglite \d+\.\d+\.\d+\n$/u);
  });

  test("config shows where each value came from", async () => {
    const flags = `--config ${file} --address 0.0.0.0:1 --data-dir /x --set sink.lingerMs=7 --log-level error`;
    const { code, out } = await run("config", ...flags.split(" "), "--set", "query.timeoutMs=900");
    expect(code).toBe(0);
    expect(out).toContain("address: 0.0.0.0:1 # flag --address\n");
    expect(out).toContain("dataDir: /x # flag --data-dir\n");
    expect(out).toContain("  lingerMs: 7 # flag --set sink.lingerMs\n");
    expect(out).toContain("  timeoutMs: 900 # flag --set query.timeoutMs\n");
    expect(out).toContain("  level: error # flag --log-level\n");
    expect(out).toContain(`  maxRows: 5 # ${file}:4\n`);
  });

  test("config --reference prints the page", async () => {
    expect((await run("config", "--reference")).out).toMatch(/^# Configuration\n/u);
  });

  test.each([["serve"], ["backup"], ["restore"], ["verify"], ["config"], ["version"]])(
    "%s has help",
    async (command) => {
      const { code, out } = await run(command, "--help");
      expect(code).toBe(0);
      expect(out).toContain(`Usage: tallystick ${command}`);
    },
  );

  test("help of the program lists the commands", async () => {
    const { code, out } = await run("--help");
    expect(code).toBe(0);
    for (const command of ["serve", "backup", "restore", "verify", "config", "version"])
      expect(out).toContain(`  ${command}`);
  });
});

describe("misuse ends with 2 and says what to do", () => {
  test.each([
    [["serv"], 'unknown command "serv", did you mean serve?'],
    [["frobnicate"], "commands are serve, backup, restore, verify, config, version"],
    [["--adress", "1"], "Did you mean --address?"],
    [["serve", "--data-dr", "x"], "Did you mean --data-dir?"],
    [["config", "--set", "novalue"], "Write it as key=value"],
    [["config", "extra"], "too many arguments"],
    [["backup"], "required option '--to <directory>' not specified"],
    [["restore"], "required option '--from <directory>' not specified"],
    [["verify", "--data-dir", "/does/not/exist"], "/does/not/exist is not a data directory of Tallystick"],
    [["config", "--address", "99"], 'address: "99" is not valid: a port alone'],
    [["serve", "--address", "99"], 'address: "99" is not valid: a port alone'],
    [["--log-level", "loud"], "expected one of trace, debug"],
    [["config", "--config", "/does/not/exist.yaml"], "there is no such file (flag --config)"],
  ])("%j", async (args, want) => {
    const { code, out, error } = await run(...args);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toContain(want);
  });
});
