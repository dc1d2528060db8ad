// Typed access to the keys of a JSON object, as the reference plugins read theirs (Go's encoding/json):
// keys match case-insensitively, unknown keys are tolerated, null means absent, a wrong type is an error.
// Every error names the full path of the key and what its value must be.
//
// A parser stops at the first fault, since ADD needs no more. Where all are to be told (`podlink validate`), the fields
// collect them in a FaultList: a value that is refused is noted, and reads as absent from then on.

/** Report a key whose value is missing or not what it must be. Becomes CNI error 7 (protocol/errors.ts). */
export class FieldError extends Error {
  override readonly name = 'FieldError';
  /** Path of the key from the top of the configuration, e.g. `ipam.ranges[0][0].subnet`. */
  readonly path: string;
  /** What its value must be, and what it is. */
  readonly problem: string;
  /** Whether the fault may be this machine's alone: a file that the key names and that cannot be read. */
  readonly isOfMachine: boolean;

  constructor(path: string, problem: string, options: { readonly isOfMachine?: boolean } = {}) {
    super(`Invalid "${path}": ${problem}`);
    this.path = path;
    this.problem = problem;
    this.isOfMachine = options.isOfMachine ?? false;
  }
}

/** The faults of one configuration, in the order they are found in. */
export class FaultList {
  readonly #faults: FieldError[] = [];
  readonly #paths = new Set<string>();

  get all(): readonly FieldError[] {
    return this.#faults;
  }

  /** Note a fault, unless it may be nothing but the consequence of one at the same place or below. */
  note(error: FieldError): void {
    const { path } = error;
    const isConsequence = this.#faults.some(
      (earlier) => earlier.path === path || earlier.path.startsWith(`${path}.`) || earlier.path.startsWith(`${path}[`),
    );
    if (isConsequence) return;
    this.#faults.push(error);
    this.#paths.add(path);
  }

  /** Whether the value at a path has been refused. */
  isRefused(path: string): boolean {
    return this.#paths.has(path);
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
 * Throws FieldError when the value has another type; with a FaultList, notes it there and takes the key for absent.
 */
export class Fields {
  readonly path: string;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #byLowerCase = new Map<string, unknown>();
  readonly #faults: FaultList | undefined;

  /** Throws FieldError for what is no object, with a FaultList too. */
  constructor(value: unknown, path = '', faults?: FaultList) {
    if (!isObject(value))
      throw new FieldError(path || 'configuration', `must be an object, is ${describeValue(value)}`);
    this.raw = value;
    this.path = path;
    this.#faults = faults;
    // In order, so that of two keys that differ only in case the last wins, as in Go.
    for (const [key, entry] of Object.entries(value)) this.#byLowerCase.set(key.toLowerCase(), entry);
  }

  /** Whether faults are collected. */
  get isCollecting(): boolean {
    return this.#faults !== undefined;
  }

  /** Path of a key of this object, for errors. */
  at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }

  /** The raw value, or undefined when absent or null. */
  get(key: string): unknown {
    if (this.#faults?.isRefused(this.at(key))) return undefined;
    return this.#byLowerCase.get(key.toLowerCase()) ?? undefined;
  }

  /** Whether the key is there at all, null included. */
  has(key: string): boolean {
    return this.#byLowerCase.has(key.toLowerCase());
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'string') return value;
    return this.#wrongType(key, 'a string', value);
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    return this.#wrongType(key, 'true or false', value);
  }

  /** A whole number from `min` to `max`, both included. */
  integer(key: string, min: number, max: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.#wrongType(key, `a whole number from ${min} to ${max}`, value);
  }

  /** One of the given words, exactly. */
  oneOf<const Word extends string>(key: string, words: readonly Word[]): Word | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const word = words.find((candidate) => candidate === value);
    return word ?? this.#wrongType(key, `one of ${words.map((each) => `"${each}"`).join(', ')}`, value);
  }

  object(key: string): Fields | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    return this.#faults ? this.part(() => this.child(value, this.at(key))) : this.child(value, this.at(key));
  }

  list(key: string): readonly unknown[] | undefined {
    const value = this.get(key);
    if (value === undefined || Array.isArray(value)) return value;
    return this.#wrongType(key, 'a list', value);
  }

  /** A list whose items are all objects. */
  objects(key: string): Fields[] | undefined {
    return this.#mapList(key, (item, path) => this.child(item, path));
  }

  /** A list whose items are all strings. `read`: makes more of each; throws FieldError. */
  strings(key: string): string[] | undefined;
  strings<Value>(key: string, read: (text: string, path: string) => Value): Value[] | undefined;
  strings(key: string, read: (text: string, path: string) => unknown = (text) => text): unknown[] | undefined {
    return this.#mapList(key, (item, path) => {
      if (typeof item === 'string') return read(item, path);
      throw new FieldError(path, `must be a string, is ${describeValue(item)}`);
    });
  }

  /** The fields of an object that stands in this one. Throws FieldError for what is no object. */
  child(value: unknown, path: string): Fields {
    return new Fields(value, path, this.#faults);
  }

  /** Read each item of a list that stands at a path. One whose reading throws FieldError is left out where faults are collected. */
  items<Item, Value>(items: readonly Item[], path: string, read: (item: Item, path: string) => Value): Value[] {
    const faults = this.#faults;
    if (!faults) return items.map((item, i) => read(item, `${path}[${i}]`));
    return items.flatMap((item, i) => {
      const found = this.part(() => ({ value: read(item, `${path}[${i}]`) }));
      return found ? [found.value] : [];
    });
  }

  /**
   * Do a part of the reading that no other part needs. Lets FieldError through, but where faults are collected: there it is
   * noted, and the value is undefined.
   */
  part<Value>(read: () => Value): Value | undefined {
    if (!this.#faults) return read();
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      this.#faults.note(error);
      return undefined;
    }
  }

  /** Refuse the value of a key. Throws FieldError, but where faults are collected: there it is noted, and the key is absent. */
  refuse(key: string, problem: string): undefined {
    return this.report(new FieldError(this.at(key), problem));
  }

  /** Throw a fault that the rest of the reading can do without, but where faults are collected: there it is noted. */
  report(error: FieldError): undefined {
    if (!this.#faults) throw error;
    this.#faults.note(error);
    return undefined;
  }

  #mapList<Value>(key: string, read: (item: unknown, path: string) => Value): Value[] | undefined {
    const list = this.list(key);
    return list && this.items(list, this.at(key), read);
  }

  #wrongType(key: string, expected: string, value: unknown): undefined {
    return this.refuse(key, `must be ${expected}, is ${describeValue(value)}`);
  }
}
