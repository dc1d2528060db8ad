// Typed access to the keys of a JSON object, as the reference plugins read theirs (Go's encoding/json):
// keys match case-insensitively, unknown keys are tolerated, null means absent, a wrong type is an error.
// Every error names the full path of the key and what its value must be.

/** Report a key whose value is missing or not what it must be. Becomes CNI error 7 (protocol/errors.ts). */
export class FieldError extends Error {
  override readonly name = 'FieldError';
  /** Path of the key from the top of the configuration, e.g. `ipam.ranges[0][0].subnet`. */
  readonly path: string;

  constructor(path: string, problem: string) {
    super(`Invalid "${path}": ${problem}`);
    this.path = path;
  }
}

/** Describe a JSON value in an error: its text, cut to 60 characters; `missing` when there is none. */
export function describeValue(value: unknown): string {
  const text = JSON.stringify(value) ?? (value === undefined ? 'missing' : String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Whether a JSON value is an object, neither null nor an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Read the keys of one JSON object.
 *
 * Getters return `undefined` for a key that is absent or null, so that a default is written as `?? value`.
 * Throws FieldError when the value has another type.
 */
export class Fields {
  readonly path: string;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #byLowerCase = new Map<string, unknown>();

  constructor(value: unknown, path = '') {
    if (!isObject(value))
      throw new FieldError(path || 'configuration', `must be an object, is ${describeValue(value)}`);
    this.raw = value;
    this.path = path;
    // In order, so that of two keys that differ only in case the last wins, as in Go.
    for (const [key, entry] of Object.entries(value)) this.#byLowerCase.set(key.toLowerCase(), entry);
  }

  /** Path of a key of this object, for errors. */
  at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }

  /** The raw value, or undefined when absent or null. */
  get(key: string): unknown {
    return this.#byLowerCase.get(key.toLowerCase()) ?? undefined;
  }

  /** Whether the key is there at all, null included. */
  has(key: string): boolean {
    return this.#byLowerCase.has(key.toLowerCase());
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'string') throw this.#wrongType(key, 'a string', value);
    return value;
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'boolean') throw this.#wrongType(key, 'true or false', value);
    return value;
  }

  /** A whole number from `min` to `max`, both included. */
  integer(key: string, min: number, max: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
      throw this.#wrongType(key, `a whole number from ${min} to ${max}`, value);
    return value;
  }

  /** One of the given words, exactly. */
  oneOf<const Word extends string>(key: string, words: readonly Word[]): Word | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const word = words.find((candidate) => candidate === value);
    if (word === undefined) throw this.#wrongType(key, `one of ${words.map((w) => `"${w}"`).join(', ')}`, value);
    return word;
  }

  object(key: string): Fields | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : new Fields(value, this.at(key));
  }

  list(key: string): readonly unknown[] | undefined {
    const value = this.get(key);
    if (value !== undefined && !Array.isArray(value)) throw this.#wrongType(key, 'a list', value);
    return value;
  }

  /** A list whose items are all objects. */
  objects(key: string): Fields[] | undefined {
    return this.list(key)?.map((item, i) => new Fields(item, `${this.at(key)}[${i}]`));
  }

  /** A list whose items are all strings. */
  strings(key: string): string[] | undefined {
    return this.list(key)?.map((item, i) => {
      if (typeof item !== 'string')
        throw new FieldError(`${this.at(key)}[${i}]`, `must be a string, is ${describeValue(item)}`);
      return item;
    });
  }

  #wrongType(key: string, expected: string, value: unknown): FieldError {
    return new FieldError(this.at(key), `must be ${expected}, is ${describeValue(value)}`);
  }
}
