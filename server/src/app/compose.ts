/** Running the product as a process: start, the banner, signals, an orderly end. */

import { createRequire } from "node:module";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { createLogger } from "./logger.ts";
import { type Product, startProduct } from "./product.ts";
import { StartError } from "./start-error.ts";

/** A process group's signal can reach the server twice, directly and through its parent; later ones mean it. */
const IMPATIENCE_MS = 1_000;

/**
 * Starts the server and resolves when it has shut down after SIGTERM or SIGINT; Ctrl-C again ends it at once. Rejects with
 * a `StartError` when it cannot start.
 */
export async function runServer(config: Config): Promise<void> {
  const logger = createLogger(config.log);
  const product = await start(config, logger);
  process.stdout.write(banner(product.url, product.dataDirectory));
  const signal = await nextSignal();
  logger.info({ signal }, "shutting down: finishing requests and the batch under way");
  endOnImpatience();
  await product.stop();
  logger.info("stopped");
  logger.flush();
}

async function start(config: Config, logger: Logger): Promise<Product> {
  try {
    return await startProduct({ config, logger, version: packageVersion() });
  } catch (error) {
    logger.debug({ err: error }, "the start failed");
    logger.flush();
    throw new StartError(error);
  }
}

async function nextSignal(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

/** SIGTERM again changes nothing: the time for an orderly end is limited anyway. */
function endOnImpatience(): void {
  const sinceMs = performance.now();
  process.on("SIGTERM", () => undefined);
  process.on("SIGINT", () => {
    if (performance.now() - sinceMs > IMPATIENCE_MS) process.exit(130);
  });
}

function packageVersion(): string {
  const manifest: { version: string } = createRequire(import.meta.url)("../../package.json");
  return manifest.version;
}

/** What a newcomer needs to see: where it is, where the data lies, and a first event and query to paste. */
function banner(url: string, dataDirectory: string): string {
  return `
Tallystick is ready at ${url}
Data lies in ${dataDirectory}
API reference: ${url}/docs

Try it: a meter, an event, a query.

curl ${url}/api/v1/meters -H 'content-type: application/json' \\
  -d '{"slug":"tokens","eventType":"prompt","aggregation":"SUM","valueProperty":"$.tokens","groupBy":{"model":"$.model"}}'

curl ${url}/api/v1/events -H 'content-type: application/cloudevents+json' \\
  -d '{"specversion":"1.0","id":"1","source":"my-app","type":"prompt","subject":"customer-1","data":{"tokens":42,"model":"gpt-5"}}'

curl '${url}/api/v1/meters/tokens/query?groupBy=model'

`;
}
