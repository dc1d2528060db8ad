// Finding the next error of a configuration behind the first: the parsers stop at what they cannot read, so that is
// taken out of a copy, and they are asked again.

import { isObject } from '../../protocol/fields.ts';

type Container = Record<string, unknown> | unknown[];

/** One step from the top of a configuration to a value in it. */
interface Step {
  readonly container: Container;
  readonly key: string | number;
}

/** A copy of a configuration that values are taken out of. */
export class MutableConfig {
  readonly value: Record<string, unknown>;
  /** For lists that have lost items: the index each item had at first. */
  readonly #indexes = new WeakMap<unknown[], number[]>();

  constructor(config: Readonly<Record<string, unknown>>) {
    this.value = structuredClone(config);
  }

  /** The path of an error in terms of the configuration as it was. */
  originalPath(path: string): string {
    const steps = this.#walk(path);
    let text = '';
    for (const { container, key } of steps) {
      if (Array.isArray(container)) text += `[${this.#indexesOf(container)[Number(key)] ?? key}]`;
      else text += text === '' ? String(key) : `.${key}`;
    }
    const rest = path.slice(currentPath(steps).length);
    return text + rest;
  }

  /** Take out the value at a path or, if that is missing itself, the one it is missing in. False when there is none to take. */
  remove(path: string): boolean {
    const last = this.#walk(path).at(-1);
    if (!last) return false;
    const { container, key } = last;
    if (Array.isArray(container)) {
      this.#indexesOf(container).splice(Number(key), 1);
      container.splice(Number(key), 1);
    } else delete container[key];
    return true;
  }

  #indexesOf(list: unknown[]): number[] {
    const indexes = this.#indexes.get(list) ?? list.map((_, i) => i);
    this.#indexes.set(list, indexes);
    return indexes;
  }

  /** The steps to the value at a path, as far as they lead. A key may hold dots and brackets itself: the longest that fits is taken. */
  #walk(path: string): Step[] {
    const steps: Step[] = [];
    let value: unknown = this.value;
    for (let rest = path; rest !== ''; ) {
      const step = stepInto(value, rest);
      if (!step) break;
      steps.push(step);
      value = (step.container as Record<string | number, unknown>)[step.key];
      rest = rest.slice(lengthOf(step)).replace(/^\./, '');
    }
    return steps;
  }
}

function stepInto(value: unknown, rest: string): Step | undefined {
  if (Array.isArray(value)) {
    const index = /^\[(\d+)\]/.exec(rest)?.[1];
    return index !== undefined && Number(index) < value.length ? { container: value, key: Number(index) } : undefined;
  }
  if (!isObject(value)) return undefined;
  const key = Object.keys(value)
    .filter((name) => rest.toLowerCase().startsWith(name.toLowerCase()) && /^($|[.[])/.test(rest.slice(name.length)))
    .sort((a, b) => b.length - a.length)[0];
  return key === undefined ? undefined : { container: value, key };
}

function lengthOf({ container, key }: Step): number {
  return String(key).length + (Array.isArray(container) ? 2 : 0);
}

function currentPath(steps: readonly Step[]): string {
  return steps.reduce((text, { container, key }) => {
    if (Array.isArray(container)) return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${key}`;
  }, '');
}

/** Whether an error at a path may be nothing but the consequence of what was taken out at or below it before. */
export function isConsequence(path: string, removed: readonly string[]): boolean {
  return removed.some(
    (earlier) => earlier === path || earlier.startsWith(`${path}.`) || earlier.startsWith(`${path}[`),
  );
}
