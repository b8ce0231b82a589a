#!/usr/bin/env node
/**
 * Runs a command with a PostgreSQL server of its own: a new data directory in a temporary folder, a free loopback port,
 * `TALLYSTICK_POSTGRES_URL` set, and everything gone afterwards. Exits with the command's status.
 *
 *     node scripts/postgres-for-tests.mjs npm test
 *
 * Where no server can be started it says so in one line and runs the command without one. Plain JavaScript for Node 18
 * and later, without dependencies, because it runs before anything is installed.
 */

import { spawn, spawnSync } from "node:child_process";
import { chownSync, chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

const START_TIMEOUT_SECONDS = 60;

/** The directory of the newest installed server, or undefined. */
function findBinaries() {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const onPath = (process.env.PATH ?? "").split(":").filter((directory) => directory !== "");
  const candidates = [...versions.map((version) => join(debian, version, "bin")), ...onPath];
  return candidates.find((bin) => ["initdb", "pg_ctl", "postgres"].every((name) => existsSync(join(bin, name))));
}

/**
 * Who runs the server: PostgreSQL refuses to run as root, so root lends it to the user `postgres`, or to `nobody`.
 * Undefined: the current user.
 */
function findServerUser() {
  if (process.getuid() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const user = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody");
  if (user === undefined) throw new Error("there is no user to run it as");
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

function findFreePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Starts a server and returns its URL and how to stop it. Throws when it does not come up. */
async function startServer() {
  const bin = findBinaries();
  if (bin === undefined) throw new Error("no PostgreSQL server is installed");
  const user = findServerUser();
  const directory = mkdtempSync(join(tmpdir(), "tallystick-postgres-"));
  const data = join(directory, "data");
  const log = join(directory, "log");
  if (user !== undefined) chownSync(directory, user.uid, user.gid);
  chmodSync(directory, 0o700);
  const run = (program, ...parameters) => {
    // Not inherited: pg_ctl leaves the server behind, which would keep our output open.
    const result = spawnSync(join(bin, program), parameters, {
      ...user,
      cwd: directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (result.status === 0) return;
    const logged = existsSync(log) ? readFileSync(log, "utf8") : "";
    throw new Error(`${program} failed: ${result.error?.message ?? `${result.stderr}${logged}`.trim().slice(-500)}`);
  };
  const stop = () => {
    try {
      if (existsSync(join(data, "postmaster.pid"))) run("pg_ctl", "stop", "-D", data, "-m", "immediate", "-w");
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
  try {
    run("initdb", "-D", data, "-U", "tallystick", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync");
    const port = await findFreePort();
    // Test data need not survive anything, so nothing waits for a disk.
    const settings = ["listen_addresses=127.0.0.1", `port=${port}`, `unix_socket_directories=${directory}`];
    settings.push("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200");
    // Settings that differ from the defaults on purpose: the product must not depend on the server's.
    settings.push("timezone=Asia/Kolkata", "datestyle=SQL");
    const options = settings.map((setting) => `-c ${setting}`).join(" ");
    run("pg_ctl", "start", "-D", data, "-l", log, "-o", options, "-w", "-t", String(START_TIMEOUT_SECONDS));
    return { url: `postgres://tallystick@127.0.0.1:${port}/postgres`, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** Runs the command, passes signals on to it, and resolves with its exit status. */
function runCommand([program, ...parameters], environment) {
  return new Promise((resolve) => {
    const child = spawn(program, parameters, { stdio: "inherit", env: environment });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
    child.once("error", (error) => {
      console.error(`cannot run ${program}: ${error.message}`);
      resolve(127);
    });
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

const command = process.argv.slice(2);
if (command.length === 0) {
  console.error("usage: node scripts/postgres-for-tests.mjs <command> [argument ...]");
  process.exit(2);
}

let server;
try {
  server = await startServer();
} catch (error) {
  console.error(`PostgreSQL for tests: not available, running without it (${error.message.replaceAll("\n", " ")})`);
}
const environment = server === undefined ? process.env : { ...process.env, TALLYSTICK_POSTGRES_URL: server.url };
try {
  process.exitCode = await runCommand(command, environment);
} finally {
  server?.stop();
}
