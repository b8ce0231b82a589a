/**
 * A rule of the repository. Every rule carries repositories that break it, so that a rule that stopped working fails the
 * tests, and one that keeps it, so that a rule that complains about everything does too.
 */

import type { Repository } from "./repository.ts";

/** A small repository: texts by path. */
export type Example = Readonly<Record<string, string>>;

export interface Rule {
  /** What is demanded, as a sentence without a full stop. */
  readonly name: string;
  /** Returns a sentence per violation, each beginning with the place. */
  readonly check: (repository: Repository) => readonly string[];
  readonly breaks: readonly Example[];
  readonly keeps: Example;
}
