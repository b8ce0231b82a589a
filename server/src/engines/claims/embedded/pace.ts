/**
 * Pace: keeps long computations from holding the thread.
 *
 * The index shares its thread with other asynchronous work. Its loops run in slices and offer the thread between them; the
 * offer is taken only when the current turn of the event loop has lasted a few milliseconds, so that small claims never
 * wait for a turn.
 */

const SLICE_MS = 3;

export class Pace {
  #startedAtMs = performance.now();

  /** Resolves at once while the slice lasts, otherwise after other work had its turn. */
  async rest(): Promise<void> {
    if (performance.now() - this.#startedAtMs < SLICE_MS) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#startedAtMs = performance.now();
  }
}
