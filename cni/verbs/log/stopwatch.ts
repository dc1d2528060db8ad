// How long the phases of a call take: for `PODLINK_TRACE=1`, which prints them on stderr, and for the call log.

import { monotonicMs } from '../../kernel/clock.ts';

export interface Phase {
  readonly name: string;
  readonly ms: number;
}

/** Times are milliseconds since the process was started. */
export class Stopwatch {
  readonly #phases: Phase[] = [];
  #last = 0;

  /** End a phase: it began where the one before ended, the first with the process. */
  mark(name: string): void {
    const now = monotonicMs();
    this.#phases.push({ name, ms: now - this.#last });
    this.#last = now;
  }

  get phases(): readonly Phase[] {
    return this.#phases;
  }

  /** All phases together. */
  get totalMs(): number {
    return this.#last;
  }

  /** `start 31.20, parse 0.41, total 40.02 ms` */
  toString(): string {
    const entries = [...this.#phases, { name: 'total', ms: this.#last }];
    return `${entries.map(({ name, ms }) => `${name} ${ms.toFixed(2)}`).join(', ')} ms`;
  }
}
