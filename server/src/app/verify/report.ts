/**
 * What a verification says: one report for each check, with the differences it found.
 *
 * Invariant: a check that could not be made is never clean; `skipped` says why and which other check to mend first.
 */

/** As many differences of a check are told one by one. */
export const MAX_EXAMPLES = 20;

export type CheckName =
  | "log_files"
  | "claims_files"
  | "state"
  | "conflicts"
  | "events_log"
  | "events_once"
  | "claims_events"
  | "roll_ups"
  | "roll_up_chunks";

export interface CheckReport {
  readonly name: CheckName;
  readonly status: "clean" | "different" | "skipped";
  /** What was compared and how many, or why nothing was. */
  readonly compared: string;
  /** How many differences there are; at least so many when `isAtLeast`. */
  readonly differences: number;
  readonly isAtLeast: boolean;
  /** The first differences, each a sentence. */
  readonly examples: readonly string[];
  /** What is no difference and yet worth knowing. */
  readonly notes: readonly string[];
  /** What to do; null for a clean check. */
  readonly advice: string | null;
}

/** How far a verification has got. */
export interface Progress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

/** What every check gets besides what it compares. */
export interface CheckContext {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

export interface VerifyReport {
  readonly dataDirectory: string;
  /** True when every check was made and none found a difference. */
  readonly isClean: boolean;
  readonly checks: readonly CheckReport[];
  /** What `repair` changed, each a sentence. */
  readonly repaired: readonly string[];
  readonly seconds: number;
}

/** Why a data directory could not be checked at all: a sentence that says what to do. */
export class VerifyError extends Error {
  override readonly name = "VerifyError";
}

/** Collects what a check finds. */
export class Findings {
  readonly #name: CheckName;
  readonly #advice: string;
  readonly #examples: string[] = [];
  readonly #notes: string[] = [];
  #differences = 0;
  #isAtLeast = false;

  /** `advice` is what to do when there are differences. */
  constructor(name: CheckName, advice: string) {
    this.#name = name;
    this.#advice = advice;
  }

  get differences(): number {
    return this.#differences;
  }

  /** Whether the next difference is going to be told; composing its sentence may cost a query. */
  get wantsExample(): boolean {
    return this.#examples.length < MAX_EXAMPLES;
  }

  /** Counts a difference, and tells it while few have been told. */
  add(difference: string): void {
    this.#differences += 1;
    if (this.#examples.length < MAX_EXAMPLES) this.#examples.push(difference);
  }

  /** Differences that are known to be there and were not looked at one by one. */
  addUncounted(count: number): void {
    this.#differences += count;
    if (count > 0) this.#isAtLeast = true;
  }

  note(note: string): void {
    this.#notes.push(note);
  }

  report(compared: string): CheckReport {
    return {
      name: this.#name,
      status: this.#differences === 0 ? "clean" : "different",
      compared,
      differences: this.#differences,
      isAtLeast: this.#isAtLeast,
      examples: this.#examples,
      notes: this.#notes,
      advice: this.#differences === 0 ? null : this.#advice,
    };
  }
}

/** The report of a check that could not be made. */
export function skipped(name: CheckName, reason: string): CheckReport {
  const nothing = { differences: 0, isAtLeast: false, examples: [], notes: [] };
  return { name, status: "skipped", compared: reason, ...nothing, advice: null };
}
