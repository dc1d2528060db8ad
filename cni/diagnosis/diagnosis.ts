// Something that is wrong, as data: a code that stays the same in all versions, and the parts that a program may want to look
// at. A sentence is made of it only where it is printed, from the table that has its code:
//
//   attachment-diagnosis.ts      an attachment: CHECK, `attachment inspect`, `repair`, and `doctor`

/** A name, an address, a number, a setting: as the kernel, the configuration or the result spells it. */
export type Part = string | number | boolean;

export interface Parts {
  /** The thing that something is wrong with, by its name. */
  readonly subject?: Part;
  /** The part of it, or the other thing, that it is about. */
  readonly object?: Part;
  /** The thing that subject or object belongs to, where their names do not tell. */
  readonly of?: Part;
  readonly expected?: Part;
  readonly found?: Part;
}

export interface Diagnosis<Code extends string = string> extends Parts {
  /** In kebab-case. */
  readonly code: Code;
}

/** The parts that the sentence of a code needs, all of them. */
export type Needs<Names extends keyof Parts> = { readonly [Name in Names]: Part };

/** Sentences by their codes. */
export type SentenceTable = { readonly [code: string]: (parts: never) => unknown };

/** The parts to give with a code, as arguments: none where its sentence needs none. */
export type PartsOf<Table, Code extends keyof Table> = Table[Code] extends (...parts: infer List) => unknown
  ? List
  : never;

/** Whether two diagnoses say the same. */
export function isSameDiagnosis(a: Diagnosis, b: Diagnosis): boolean {
  return (
    a.code === b.code &&
    a.subject === b.subject &&
    a.object === b.object &&
    a.of === b.of &&
    a.expected === b.expected &&
    a.found === b.found
  );
}
