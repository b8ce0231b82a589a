/** What the main thread and the sink's thread tell each other. */

import type { MessagePort } from "node:worker_threads";
import type { EventStoreOptions } from "../../engines/event-store/index.ts";
import type { SinkReport } from "../../events/index.ts";

/** Everything the sink's thread needs to open its engines. */
export interface SinkWorkerOptions {
  readonly partition: number;
  readonly logDirectory: string;
  readonly claimsDirectory: string;
  /** One past the last durable offset of the log. */
  readonly logEnd: number;
  readonly store: EventStoreOptions;
  /** A port to the embedded state store, or the URL of a PostgreSQL. */
  readonly state:
    | { readonly kind: "shared"; readonly port: MessagePort }
    | { readonly kind: "postgres"; readonly url: string };
  readonly limits: { readonly events: number; readonly bytes: number; readonly months: number };
  readonly lingerMs: number;
  /** URL of a module whose `onStep` is awaited after each step of a batch: crash tests stop the world there. */
  readonly stepModule?: string;
}

export type ToSink =
  | { readonly kind: "durable"; readonly end: number }
  /** Rest between two batches, with a copy of the claims in the new directory `claimsInto`, until told to resume. */
  | { readonly kind: "pause"; readonly claimsInto: string }
  | { readonly kind: "resume" }
  | { readonly kind: "stop" };

/** `failed` precedes the end of the thread, which loses nothing: the next one finishes the batch. */
export type FromSink =
  | { readonly kind: "committed"; readonly report: SinkReport }
  /** The answer to `pause`; with a failure, the sink goes on without being told. */
  | { readonly kind: "paused"; readonly failure: string | null }
  | { readonly kind: "failed"; readonly message: string };
