/** The event log: the port, and the engine that keeps it on the local disk. */

export { LogDamaged, OffsetTrimmed } from "./log.ts";
export type { EventLog, EventLogReader, LogAppend, LogRecord, ReadLimit } from "./log.ts";
export { openEmbeddedLog, openEmbeddedLogReader } from "./embedded/embedded-log.ts";
export type {
  EmbeddedLogOptions,
  EmbeddedLogReaderOptions,
  EmbeddedLogReport,
  FileLog,
  LogFilesView,
} from "./embedded/embedded-log.ts";
export type { EmbeddedLogReader } from "./embedded/reader.ts";
export { LogLocked } from "./embedded/lock.ts";
