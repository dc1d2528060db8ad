// The word somebody may have meant.

/** Of the words the one that is nearest to `text`, if it is near enough to be a slip; letters' case does not count. */
export function nearestWord(text: string, words: Iterable<string>): string | undefined {
  const wanted = text.toLowerCase();
  // A third of the letters wrong is another word.
  const furthest = Math.max(1, Math.floor(wanted.length / 3));
  let nearest: string | undefined;
  let least = furthest + 1;
  for (const word of words) {
    const distance = editDistance(wanted, word.toLowerCase());
    if (distance < least) [nearest, least] = [word, distance];
  }
  return nearest;
}

/** `; did you mean "ls"?`, or nothing. */
export function suggest(text: string, words: Iterable<string>): string {
  const word = nearestWord(text, words);
  return word === undefined ? '' : `; did you mean "${word}"?`;
}

/** Levenshtein's distance, with two neighbours swapped as one step (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let [beforeLast, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwapped) distance = Math.min(distance, (beforeLast[j - 2] ?? 0) + 1);
      row.push(distance);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
