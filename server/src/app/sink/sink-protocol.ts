/** What the main thread and the sink's thread tell each other. */

import type { MessagePort } from "node:worker_threads";
import type { EventStoreOptions } from "../../engines/event-store/index.ts";
import type { CheckedMeter, SinkReport, WatchedUsage } from "../../events/index.ts";

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
  /** The usage that reports tell about. */
  readonly watched: readonly WatchedUsage[];
  /** The meters for which reports count invalid values. */
  readonly checked: readonly CheckedMeter[];
  /** URL of a module whose `onStep` is awaited after each step of a batch: crash tests stop the world there. */
  readonly stepModule?: string;
}

export type ToSink =
  | { readonly kind: "durable"; readonly end: number }
  /** Replaces the usage that reports tell about, for all events that become durable after this message. */
  | { readonly kind: "watch"; readonly watched: readonly WatchedUsage[] }
  /** Replaces the meters for which reports count invalid values, from one of the next batches on. */
  | { readonly kind: "check"; readonly checked: readonly CheckedMeter[] }
  /** Rest between two batches, with a copy of the claims in the new directory `claimsInto`, until told to resume. */
  | { readonly kind: "pause"; readonly claimsInto: string }
  | { readonly kind: "resume" }
  | { readonly kind: "stop" };

/** `failed` precedes the end of the thread, which loses nothing: the next one finishes the batch. */
export type FromSink =
  /** Everything before `next` is stored: what the thread before this one had under way included. */
  | { readonly kind: "recovered"; readonly partition: number; readonly next: number }
  | { readonly kind: "committed"; readonly report: SinkReport }
  /** The answer to `pause`; with a failure, the sink goes on without being told. */
  | { readonly kind: "paused"; readonly failure: string | null }
  | { readonly kind: "failed"; readonly message: string };
