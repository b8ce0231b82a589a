/** The process's log: structured lines on standard output, or readable ones on a terminal. */

import { pino, type Logger } from "pino";
import pretty from "pino-pretty";
import type { Config } from "./config.ts";

/**
 * Makes the logger. Lines are written as they come on a terminal and in small batches otherwise, because a system call per
 * request is a noticeable share of what a small request costs.
 */
export function createLogger(config: Config["log"]): Logger {
  if (config.format === "pretty") {
    const stream = pretty({ ignore: "pid,hostname", translateTime: "SYS:HH:MM:ss.l", colorize: process.stdout.isTTY });
    return pino({ level: config.level }, stream);
  }
  const destination = pino.destination({ fd: 1, sync: false, minLength: 4096, periodicFlush: 500 });
  return pino({ level: config.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
