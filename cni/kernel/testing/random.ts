// Random numbers that are the same in every run, for fuzz tests.

/** A source of numbers from a fixed seed (mulberry32): `below(n)` gives an integer from 0 to n - 1. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('Cannot pick from an empty list');
    return item;
  }

  /** A copy with a few bytes changed, cut off or doubled, as broken senders make them. */
  mutate(original: Uint8Array): Uint8Array {
    let mutated = original.slice();
    for (let changes = 1 + this.below(4); changes > 0 && mutated.length > 0; changes--) {
      const at = this.below(mutated.length);
      switch (this.below(4)) {
        case 0:
          mutated[at] = this.below(256);
          break;
        case 1: // lengths and types are small: hit them where it hurts
          mutated[at] = this.pick([0, 1, 3, 4, 5, 0x7f, 0x80, 0xff]);
          break;
        case 2:
          mutated = mutated.slice(0, at);
          break;
        default:
          mutated = Uint8Array.from([...mutated.subarray(0, at), ...mutated.subarray(this.below(at + 1))]);
      }
    }
    return mutated;
  }
}
