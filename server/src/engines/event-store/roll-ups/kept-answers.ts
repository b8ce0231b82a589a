/**
 * Answers that were put together from whole buckets by the engine, kept for the next who asks the same: sets of UNIQUE_COUNT
 * are united by the engine, which takes longer the more members they have.
 *
 * Such a statement names the chunks that it reads. Rows of a chunk never change and chunk numbers are never used again, so
 * the same statement has the same answer for ever; when chunks change, the question becomes another statement. Answers longest
 * unused go first.
 */

import type { Cell } from "../sql/aggregations/aggregation.ts";
import type { Statement } from "../sql/fragment.ts";

type Answer = readonly (readonly Cell[])[];

/** What is kept is measured in characters of statements and cells, of about two bytes each. */
const MAX_SIZE = 4_000_000;
/** Larger ones are not kept: they would push out hundreds of others. */
const MAX_ANSWER_SIZE = 100_000;
const CELL_SIZE = 20;

export class KeptAnswers {
  /** By statement, longest unused first. */
  readonly #answers = new Map<string, { readonly answer: Answer; readonly size: number }>();
  #size = 0;

  /** The answer to a statement that reads chunks alone; `load` asks the engine. A failure is not kept. */
  async answer(statement: Statement, load: () => Promise<Answer>): Promise<Answer> {
    const key = JSON.stringify([statement.sql, statement.params, statement.settings]);
    const known = this.#answers.get(key);
    const answer = known?.answer ?? (await load());
    this.#keep(key, answer);
    return answer;
  }

  /** Puts the answer at the end. */
  #keep(key: string, answer: Answer): void {
    this.#remove(key);
    const size = key.length + CELL_SIZE * answer.reduce((sum, row) => sum + row.length, 0);
    if (size > MAX_ANSWER_SIZE) return;
    this.#answers.set(key, { answer, size });
    this.#size += size;
    for (const oldest of this.#answers.keys()) {
      if (this.#size <= MAX_SIZE) return;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    this.#size -= this.#answers.get(key)?.size ?? 0;
    this.#answers.delete(key);
  }
}
