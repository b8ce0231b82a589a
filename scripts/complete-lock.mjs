/**
 * Completes package-lock.json with the platform packages that the registry in use did not serve.
 *
 * Native tools publish one optional package per platform. `npm install` records only those that its registry has, and
 * `npm ci` then refuses the lock file on every machine ("Missing: ... from lock file"). An entry with name, version and
 * platform is enough for `npm ci`: it skips a package made for another platform without asking for it. Such an entry
 * carries no integrity hash, because nobody here has seen the package; npm fills it in when an install has.
 *
 * Run it after `npm install` changed the lock file: `npm run lock:complete`. Works on Node 18 and later.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const OPERATING_SYSTEMS = [
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const PROCESSORS = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"];

/** Reads operating system, processor and C library off a package name such as `@oxfmt/binding-linux-x64-musl`. */
function platformOf(name) {
  const words = name.split(/[^a-z0-9]+/u);
  const os = OPERATING_SYSTEMS.find((word) => words.includes(word));
  const cpu = PROCESSORS.find((word) => words.includes(word));
  if (os === undefined || cpu === undefined) return undefined;
  const musl = words.includes("musl") || words.includes("musleabihf");
  const glibc = words.includes("gnu") || words.includes("gnueabihf");
  return { os: [os], cpu: [cpu], ...(musl ? { libc: ["musl"] } : glibc ? { libc: ["glibc"] } : {}) };
}

/** Returns how many entries were added to `lock`; throws when a missing optional package names no platform. */
export function completeLock(lock) {
  let added = 0;
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${path}/node_modules/${name}`;
      const hoisted = `node_modules/${name}`;
      if (lock.packages[nested] !== undefined || lock.packages[hoisted] !== undefined) continue;
      const platform = platformOf(name);
      if (platform === undefined || !/^\d/u.test(version)) {
        throw new Error(`${path} wants the optional package ${name}@${version}, which names no platform: install it`);
      }
      lock.packages[hoisted] = {
        version,
        cpu: platform.cpu,
        ...(platform.libc === undefined ? {} : { libc: platform.libc }),
        ...(entry.dev === true ? { dev: true } : {}),
        optional: true,
        os: platform.os,
      };
      added += 1;
    }
  }
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en"));
  lock.packages = Object.fromEntries(sorted);
  return added;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = fileURLToPath(new URL("../package-lock.json", import.meta.url));
  const lock = JSON.parse(readFileSync(file, "utf8"));
  const added = completeLock(lock);
  if (added > 0) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`package-lock.json: ${added === 0 ? "complete" : `added ${added} platform packages`}\n`);
}
