/**
 * Ingest on Node's own request and response objects: at thousands of single-event requests a second the conversion to and
 * from web-standard objects costs more than accepting the event.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { BodyReader } from "./request-body.ts";

export interface IngestOptions {
  readonly maxBodyBytes: number;
  /** Accepts a body of the given content type; resolves once its events are durable. */
  readonly accept: (body: Uint8Array, contentType: string | undefined) => Promise<unknown>;
}

/** So many bodies of the largest size may be in memory at once. */
const HELD_BODIES = 16;

/** Returns what answers an ingest request; it throws the faults of the body and of `accept`. */
export function createIngest(
  options: IngestOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const bodies = new BodyReader(options.maxBodyBytes, options.maxBodyBytes * HELD_BODIES);
  return async (request, response) => {
    await bodies.read(request, (body) => options.accept(body, request.headers["content-type"]));
    response.statusCode = 204;
    response.end();
  };
}
