/** "Did you mean": the known name that a misspelt one most likely stands for. */

/** Number of single-character insertions, deletions and replacements that turn `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  const right = b.split("");
  let row = [0, ...right.map((_, index) => index + 1)];
  for (const [i, left] of a.split("").entries()) {
    const next = [i + 1];
    for (const [j, letter] of right.entries()) {
      const replace = (row[j] ?? 0) + (left === letter ? 0 : 1);
      next.push(Math.min(replace, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** Returns the nearest of `known`, ignoring case, or undefined when none is within 0.4 of the name's length. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(name.length * 0.4)) ? best.candidate : undefined;
}
