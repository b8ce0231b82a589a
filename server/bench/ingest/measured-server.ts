/**
 * The product as its own process on a fresh data directory, and what the operating system knows about it: processor time,
 * memory, disk. Linux only, because it reads /proc.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const START_DEADLINE_MS = 60_000;
/** Linux reports processor time in hundredths of a second on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;
const FOLDERS = ["log", "claims", "events", "state"] as const;

/** Processor seconds since the start: of the server's process, of its HTTP thread alone, of the event store's process. */
export interface CpuSeconds {
  readonly server: number;
  readonly httpThread: number;
  readonly engine: number;
  /** Of everything that ran on the machine, time that a hypervisor took away included. */
  readonly machine: number;
}

export class MeasuredServer {
  readonly url: string;
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #dataDirectory: string;

  private constructor(child: ChildProcess, url: string, dataDirectory: string) {
    this.#child = child;
    this.url = url;
    this.address = new URL(url).host;
    this.#dataDirectory = dataDirectory;
  }

  /** Starts the product; its log goes to a file in `directory`, its CPU profiles to `profileDirectory` if there is one. */
  static async start(directory: string, profileDirectory: string | undefined): Promise<MeasuredServer> {
    const dataDirectory = join(directory, "data");
    const output = join(directory, "server.log");
    const profiling = profileDirectory === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileDirectory}`];
    const file = openSync(output, "w");
    const serve = [MAIN, "serve", "--address", "127.0.0.1:0", "--data-dir", dataDirectory];
    const child = spawn(process.execPath, [...profiling, ...serve], { stdio: ["ignore", file, "inherit"] });
    closeSync(file);
    // An interrupted benchmark does not leave the product behind; data that is kept can be used by the next one.
    process.once("exit", () => child.kill("SIGTERM"));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
    const deadlineMs = performance.now() + START_DEADLINE_MS;
    for (;;) {
      const url = /ready at (http:\S+)/.exec(await readFile(output, "utf8"))?.[1];
      if (url !== undefined) return new MeasuredServer(child, url, dataDirectory);
      if (child.exitCode !== null || performance.now() > deadlineMs) {
        child.kill();
        throw new Error(`the server did not start; its output:\n${await readFile(output, "utf8")}`);
      }
      await delay(20);
    }
  }

  async cpuSeconds(): Promise<CpuSeconds> {
    const pid = this.#pid();
    return {
      server: await cpuSecondsOf(`/proc/${pid}/stat`),
      httpThread: await cpuSecondsOf(`/proc/${pid}/task/${pid}/stat`),
      engine: await cpuSecondsOf(`/proc/${await this.#enginePid()}/stat`),
      machine: await machineCpuSeconds(),
    };
  }

  /** Largest resident memory so far, in MiB, of the server and the event store's process. */
  async peakMemoryMiB(): Promise<{ server: number; engine: number }> {
    return {
      server: await memoryOf(this.#pid(), "VmHWM"),
      engine: await memoryOf(await this.#enginePid(), "VmHWM"),
    };
  }

  /** Resident memory now, in MiB, of the server and the event store's process. */
  async memoryMiB(): Promise<{ server: number; engine: number }> {
    return {
      server: await memoryOf(this.#pid(), "VmRSS"),
      engine: await memoryOf(await this.#enginePid(), "VmRSS"),
    };
  }

  /** Where the event store's process answers SQL: its first argument names the private directory of its socket. */
  async engineSocketPath(): Promise<string> {
    const [, , argument = "{}"] = (await readFile(`/proc/${await this.#enginePid()}/cmdline`, "utf8")).split("\0");
    const { runtimeDirectory }: { runtimeDirectory: string } = JSON.parse(argument);
    const entries = await readdir(runtimeDirectory, { withFileTypes: true });
    const socket = entries.find((entry) => entry.isSocket());
    if (socket === undefined) throw new Error(`no socket in ${runtimeDirectory}`);
    return join(runtimeDirectory, socket.name);
  }

  /** How many acknowledged events no query sees yet. */
  async eventsBehind(): Promise<number> {
    return await this.metric("tallystick_log_lag_events");
  }

  /** Whether every roll-up is built and has all events. */
  async isRolledUp(): Promise<boolean> {
    return (await this.metric("tallystick_roll_ups_current")) === 1;
  }

  /** The value of a metric, of the first line with that name. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const value = text.split("\n").find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    if (value === undefined) throw new Error(`the metrics do not tell ${name}`);
    return Number(value.slice(value.lastIndexOf(" ") + 1));
  }

  /** Bytes on disk per folder of the data directory, parts that the event store has already replaced included. */
  async diskBytes(): Promise<Record<(typeof FOLDERS)[number], number>> {
    const sizes = FOLDERS.map((folder) => allocatedBytes(join(this.#dataDirectory, folder)));
    const [log = 0, claims = 0, events = 0, state = 0] = await Promise.all(sizes);
    return { log, claims, events, state };
  }

  async get(path: string): Promise<unknown> {
    const response = await fetch(this.url + path);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return await response.json();
  }

  async post(path: string, contentType: string, body: string): Promise<void> {
    const response = await fetch(this.url + path, { method: "POST", headers: { "content-type": contentType }, body });
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.kill("SIGTERM");
    await ended;
  }

  #pid(): number {
    if (this.#child.pid === undefined || this.#child.exitCode !== null) throw new Error("the server has ended");
    return this.#child.pid;
  }

  async #enginePid(): Promise<number> {
    const pid = this.#pid();
    for (const task of await readdir(`/proc/${pid}/task`)) {
      const [child] = (await readFile(`/proc/${pid}/task/${task}/children`, "utf8")).split(" ");
      if (child !== undefined && child !== "") return Number(child);
    }
    throw new Error("the event store's process is not running");
  }
}

async function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const kib = new RegExp(`${field}:\\s+(\\d+) kB`, "u").exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}

async function cpuSecondsOf(file: string): Promise<number> {
  const text = await readFile(file, "utf8");
  // The second field is the name in parentheses, which may hold blanks; user and system time are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function machineCpuSeconds(): Promise<number> {
  const [first = ""] = (await readFile("/proc/stat", "utf8")).split("\n", 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = first.split(/ +/).slice(1).map(Number);
  return (user + nice + system + irq + softIrq + steal) / TICKS_PER_SECOND;
}

async function allocatedBytes(path: string): Promise<number> {
  let bytes = 0;
  // Merges delete files and folders at any time; what is gone takes nothing.
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) bytes += await allocatedBytes(inside);
    else bytes += ((await stat(inside).catch(() => undefined))?.blocks ?? 0) * 512;
  }
  return bytes;
}
