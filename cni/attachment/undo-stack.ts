// Steps back. Every change pushes what undoes it before it is made; a failed ADD runs them, last one first.

import type { Undo } from './attachment.ts';

/** For operations that nothing takes back. */
export const NO_UNDO: Undo = { push: () => undefined };

export class UndoStack implements Undo {
  readonly #steps: { readonly action: string; readonly step: () => void | Promise<void> }[] = [];

  /** `action` completes "Cannot …". A step must be fine with its change not having been made. */
  push(action: string, step: () => void | Promise<void>): void {
    this.#steps.push({ action, step });
  }

  /** Run all steps, last one first, whatever each of them throws. Returns what could not be undone, one sentence each. */
  async run(): Promise<string[]> {
    const failures: string[] = [];
    for (let entry = this.#steps.pop(); entry; entry = this.#steps.pop()) {
      try {
        await entry.step();
      } catch (error) {
        failures.push(`Cannot ${entry.action}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return failures;
  }
}
