// A key that stands twice in one JSON object. JSON.parse() takes the last of them without a word, and which of the two was
// meant nobody can know.
//
// Every ADD asks, so the usual cases are left to what the engine does natively. Runtimes write what JSON.stringify() writes,
// and that has no key twice. Any other text has one structural colon for each key: if the parsed value has as many keys, none
// stood twice. Only where the numbers differ is the text scanned.

/** Describe the fault of such a key. */
export const DUPLICATED = 'duplicated: this key stands twice in its object, and only one of the values could count';

/**
 * Find the first key that stands twice in one object of a JSON text, escapes resolved; undefined when there is none.
 *
 * `value` is what JSON.parse() made of `text`. Returns the key's path: `sysctl.net.core.somaxconn`, `ports[1].hostPort`.
 */
export function findDuplicateKey(text: string, value: unknown): string | undefined {
  const isSound = JSON.stringify(value) === text.trim() || countColons(text) === countKeys(value);
  return isSound ? undefined : scan(text);
}

/** The colons outside of strings. In valid JSON each stands behind a closing quote, one between two strings. */
function countColons(text: string): number {
  // Without backslashes a quote begins or ends a string. Pairs first: the quote in `\\\\"` is none that is escaped.
  const plain = text.includes('\\') ? text.split('\\\\').join('').split('\\"').join('') : text;
  const parts = plain.split('"');
  let colons = 0;
  for (let i = 2; i < parts.length; i += 2) if (parts[i]?.includes(':')) colons++;
  return colons;
}

/** All keys of all objects. parseJson() has made sure that this is not deep. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const values = Object.values(value);
  let keys = Array.isArray(value) ? 0 : values.length;
  for (const item of values) if (typeof item === 'object') keys += countKeys(item);
  return keys;
}

const STRING = /"(?:[^"\\]|\\.)*"/y;

/** An object or list that is open, and where in it the scan is. */
interface Level {
  readonly path: string;
  /** The keys so far; undefined for a list. */
  readonly seen: Set<string> | undefined;
  /** The key, or the index, whose value comes next. */
  at: string | number;
  expectsKey: boolean;
}

/** Walk through a text that is valid JSON. */
function scan(text: string): string | undefined {
  const levels: Level[] = [];
  for (let offset = 0; offset < text.length; offset++) {
    const level = levels.at(-1);
    const character = text[offset];
    if (character === '{' || character === '[') {
      const isObject = character === '{';
      levels.push({
        path: level ? pathOf(level) : '',
        seen: isObject ? new Set() : undefined,
        at: 0,
        expectsKey: isObject,
      });
    } else if (character === '}' || character === ']') levels.pop();
    else if (character === ',' && level) {
      if (level.seen) level.expectsKey = true;
      else level.at = Number(level.at) + 1;
    } else if (character === '"') {
      STRING.lastIndex = offset;
      const [literal = '"'] = STRING.exec(text) ?? [];
      offset += literal.length - 1;
      if (!level?.expectsKey) continue;
      level.expectsKey = false;
      level.at = String(JSON.parse(literal));
      if (level.seen?.has(level.at)) return pathOf(level);
      level.seen?.add(level.at);
    }
  }
  return undefined;
}

function pathOf({ path, seen, at }: Level): string {
  if (!seen) return `${path}[${at}]`;
  return path === '' ? String(at) : `${path}.${at}`;
}
