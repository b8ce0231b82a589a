/** Where and when figures were taken; a figure without that says nothing. */

import { availableParallelism, cpus, totalmem } from "node:os";

/** One line of Markdown: date, processor, memory, command. */
export function provenance(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const memory = Math.round(totalmem() / 1024 ** 3);
  const command = `npm run bench -- ${process.argv
    .slice(1)
    .map((word, index) => (index === 0 ? benchmarkName(word) : word))
    .join(" ")}`;
  return `${new Date().toISOString().slice(0, 10)}, ${availableParallelism()} cores (${model}), ${memory} GiB: \`${command}\``;
}

function benchmarkName(path: string): string {
  return /([^/]+)\.ts$/u.exec(path)?.[1] ?? path;
}
