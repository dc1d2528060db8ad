// Something that is wrong, as data: a code that stays the same in all versions, and the parts that a program may want to look
// at. A sentence is made of it only where it is printed, from the table that has its code:
//
//   cni/diagnosis/attachment-diagnosis.ts                  an attachment: CHECK, `attachment inspect`, `repair`, `doctor`
//   cni/operator/doctor/node-diagnosis.ts                  the node: `doctor`
//   cni/operator/validate/configuration-diagnosis.ts       a network configuration: `validate`, `doctor`
//   cni/operator/install/place-diagnosis.ts                a place that `install` is to fill, or `uninstall` to clear
//
// Calls of a runtime load the first alone. cni/docs/diagnoses.md has all codes, and what to do about each.

/** A name, an address, a number, a setting: as the kernel, the configuration or the result spells it. */
export type Part = string | number | boolean | readonly string[];

/** The remedy: in words, and as commands, each a line of its own that can be copied. */
export interface Remedy {
  readonly sentence: string;
  readonly commands: readonly string[];
}

export interface Parts {
  /** The thing that something is wrong with, by its name. */
  readonly subject?: Part;
  /** The part of it, or the other thing, that it is about. */
  readonly object?: Part;
  /** The thing that subject or object belongs to, where their names do not tell. */
  readonly of?: Part;
  readonly expected?: Part;
  readonly found?: Part;
  /** More exactly: what it is made of. */
  readonly causes?: readonly Diagnosis[];
  /** The remedy, where the code alone does not tell it. */
  readonly remedy?: Remedy;
}

export interface Diagnosis<Code extends string = string> extends Parts {
  /** In kebab-case. */
  readonly code: Code;
}

/** The parts that the sentence of a code needs, all of them. */
export type Needs<Names extends PartName> = { readonly [Name in Names]: Part };

/** A part that a sentence can do without. */
export type Maybe<Name extends PartName> = { readonly [Each in Name]?: Part };

type PartName = 'subject' | 'object' | 'of' | 'expected' | 'found';

/** The parts to give with a code, as arguments: none where its sentence needs none. */
export type PartsOf<Table, Code extends keyof Table> = Table[Code] extends (...parts: infer List) => unknown
  ? List
  : never;

/** A part that may be a list, as one. */
export function listOf(part: Part): readonly string[] {
  return typeof part === 'object' ? part : [String(part)];
}

/** Whether two diagnoses say the same. */
export function isSameDiagnosis(a: Diagnosis, b: Diagnosis): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
