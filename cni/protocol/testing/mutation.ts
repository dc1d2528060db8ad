// Mutated texts for tests of parsers: always the same ones for a seed.

/** Numbers from 0 to below 1 (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const INSERTIONS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  'null',
  '0',
  '-1',
  '1e999',
  'true',
  '\u0000',
  '\n',
  'é',
  '""',
];

/** Make `count` variants of a text: each has one to four pieces deleted, doubled, replaced or inserted. */
export function* mutations(source: string, count: number, seed: number): Generator<string> {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let i = 0; i < count; i++) {
    let text = source;
    for (let edits = 1 + below(4); edits > 0; edits--) {
      const start = below(text.length + 1);
      const end = Math.min(text.length, start + below(6));
      const insertion = INSERTIONS[below(INSERTIONS.length)] ?? '';
      const middle = [insertion, '', text.slice(start, end).repeat(2), text.slice(start, end) + insertion][below(4)];
      text = text.slice(0, start) + middle + text.slice(end);
    }
    yield text;
  }
}

/** A JSON value that is likely to be of the wrong type. */
export function anyJsonValue(random: () => number): unknown {
  const values = [
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    '',
    'x',
    '10.0.0.1',
    '10.0.0.1/24',
    'fd00::1/64',
    '/',
    [],
    [null],
    {},
    [[]],
  ];
  return values[Math.floor(random() * values.length)];
}
