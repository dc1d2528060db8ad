// The documentation of a diagnosis's code.

import type { Parts, Remedy } from '../../diagnosis/diagnosis.ts';

export interface Note {
  readonly remedy: Remedy;
  /** Parts that its sentence needs, as they may be. */
  readonly example: Parts;
}

/** Note what helps against something, and how it may come; `example`: none where its sentence needs no parts. */
export function note(remedy: Remedy | string, example: Parts = {}): Note {
  return { remedy: typeof remedy === 'string' ? { sentence: remedy, commands: [] } : remedy, example };
}
