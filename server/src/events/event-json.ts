/**
 * Events as JSON text for responses. `data` is put in verbatim: passing it through objects would change its numbers.
 */

import { formatInstant, type Instant } from "../kernel/instant.ts";

export interface EventAttributes {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: Instant;
  /** JSON text of an object; null when absent. */
  readonly data: string | null;
}

/** A CloudEvent as JSON text. */
export function eventJson(event: EventAttributes): string {
  const { id, source, type, subject } = event;
  const attributes = JSON.stringify({ specversion: "1.0", id, source, type, subject, time: formatInstant(event.time) });
  if (event.data === null) return attributes;
  return `${attributes.slice(0, -1)},"datacontenttype":"application/json","data":${event.data}}`;
}
