/**
 * `tallystick backup` and `tallystick restore`. Both read the configuration as `serve` does, so that they mean the same data
 * directory. An interrupt removes what they had begun to write.
 */

import type { Command } from "commander";
import { BackupError, messageOf } from "../app/backup/files.ts";
import type { LoadedConfig } from "../app/config.ts";
import type { Output } from "./command-line.ts";
import { versions } from "./versions.ts";

const BACKUP_HELP = `
Works while the server runs, and when it does not. The backup has every event acknowledged before the command began.
With PostgreSQL (postgres.url), dump the database first: pg_dump, then this command.

Examples:
  tallystick backup --to /backups/2026-11-20
  tallystick backup --data-dir /var/lib/tallystick --to /mnt/backups/$(date +%F)

How it works and what to do with it: docs/backup.md`;

const RESTORE_HELP = `
Verifies the backup before it writes anything. The data directory must be absent or empty.

Examples:
  tallystick restore --from /backups/2026-11-20 --data-dir /var/lib/tallystick-restored
  tallystick serve --data-dir /var/lib/tallystick-restored`;

/** Adds the options of `backup` to a command that has those of the configuration. */
export function addBackupOptions(command: Command): Command {
  return command
    .requiredOption("--to <directory>", "Where the backup goes: a directory that is absent or empty")
    .addHelpText("after", BACKUP_HELP);
}

/** Adds the options of `restore` to a command that has those of the configuration. */
export function addRestoreOptions(command: Command): Command {
  return command
    .requiredOption("--from <directory>", "The backup: a directory that tallystick backup wrote")
    .addHelpText("after", RESTORE_HELP);
}

/** Takes a backup. Rejects with a `BackupError` when there is none in the end. */
export async function backUp({ config }: LoadedConfig, command: Command, output: Output): Promise<void> {
  const { takeBackup } = await import("../app/backup/backup.ts");
  const report = await untilInterrupted((signal) =>
    takeBackup({
      dataDirectory: config.dataDir,
      target: textOption(command, "to"),
      hasPostgres: config.postgres.url !== undefined,
      productVersion: versions().get("tallystick") ?? "",
      signal,
    }),
  );
  const events = `${report.logEnd} events accepted so far`;
  output.out(
    `Backed up to ${report.target}: ${report.files} files, ${report.bytes} bytes, ${events}.\n` +
      (report.isOnline ? "" : "No server was running.\n"),
  );
  if (report.state === "postgres") {
    output.error(
      "tallystick: the state is in PostgreSQL and not in this backup; keep the dump made before it with it\n",
    );
  }
}

/** Restores a backup. Rejects with a `BackupError` when it did not. */
export async function restore({ config }: LoadedConfig, command: Command, output: Output): Promise<void> {
  const { restoreBackup } = await import("../app/backup/restore.ts");
  const { dataDirectory, manifest } = await untilInterrupted((signal) =>
    restoreBackup({ source: textOption(command, "from"), dataDirectory: config.dataDir, signal }),
  );
  output.out(
    `Restored to ${dataDirectory}: ${manifest.files.length} files, as of ${manifest.createdAt}.\n` +
      `Start the server with: tallystick serve --data-dir ${dataDirectory}\n`,
  );
  if (manifest.state === "postgres") {
    output.error("tallystick: restore the dump of PostgreSQL that was made before this backup, and set postgres.url\n");
  }
}

function textOption(command: Command, name: string): string {
  const options: Record<string, unknown> = command.opts();
  return String(options[name]);
}

/** Does `work` and aborts its signal on an interrupt. Rejects with a `BackupError`, whatever went wrong. */
async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => interrupted.abort(new BackupError(`interrupted by ${signal}`));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    return await work(interrupted.signal);
  } catch (error) {
    throw error instanceof BackupError ? error : new BackupError(messageOf(error), { cause: error });
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}
