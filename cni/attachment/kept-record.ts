// The record of an attachment that an operation works on. Every change to it goes through here: on disk before it changes in
// the kernel. ADD and repair both do so, and DEL knows whatever either of them has made.

import type { AttachmentRecord, RecordedElement } from './record.ts';
import { writeRecord } from './record-store.ts';

/** An undefined value takes the key off the record. */
export type RecordChanges = { readonly [Key in keyof AttachmentRecord]?: AttachmentRecord[Key] | undefined };

export class KeptRecord {
  readonly #runDir: string;
  #current: AttachmentRecord;

  /** `current`: as it is on disk, or as it is to be first written. Call with the attachment locked. */
  constructor(runDir: string, current: AttachmentRecord) {
    this.#runDir = runDir;
    this.#current = current;
  }

  get current(): AttachmentRecord {
    return this.#current;
  }

  /** Change the record, and write it. Throws node:fs errors; nothing has changed then. */
  change(changes: RecordChanges): void {
    const entries = Object.entries({ ...this.#current, ...changes }).filter(([, value]) => value !== undefined);
    const changed = Object.fromEntries(entries) as unknown as AttachmentRecord;
    writeRecord(this.#runDir, changed);
    this.#current = changed;
  }

  /**
   * Put on record what features are about to make, and `others` with it. What is on record already stays there, since it may
   * be in the kernel. To a complete attachment an object that a feature named at ADD keeps its name and what was noted of it.
   * Writes nothing where nothing is new to a complete attachment.
   */
  add(work: Pick<AttachmentRecord, 'features' | 'elements'>, others: RecordChanges = {}): void {
    const { state, elements: known, features } = this.#current;
    const elements = joinElements(known, work.elements);
    if (state === 'adding') {
      this.change({ ...others, elements, features: { ...features, ...work.features } });
      return;
    }
    const joined = { ...work.features, ...features };
    const isNew = elements.length > known.length || Object.keys(joined).some((name) => !(name in features));
    if (isNew || Object.keys(others).length > 0) this.change({ ...others, elements, features: joined });
  }
}

/** Join elements of a record with others, each place once: the first stays. */
export function joinElements(
  known: readonly RecordedElement[],
  others: readonly RecordedElement[],
): readonly RecordedElement[] {
  const places = new Set(known.map(placeOf));
  return [...known, ...others.filter((element) => !places.has(placeOf(element)))];
}

function placeOf({ family, set, key, keyEnd = '' }: RecordedElement): string {
  return `${family} ${set} ${key} ${keyEnd}`;
}
