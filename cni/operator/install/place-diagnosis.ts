// Why `install` may not fill a place, or `uninstall` leaves what is there, and the sentences that say so.

import { basename } from 'node:path';
import type { Diagnosis, Maybe, Needs, PartsOf } from '../../diagnosis/diagnosis.ts';

/** `object`: where what was at the path before is kept, or is to be. */
const SENTENCES = {
  'plugin-foreign': ({ subject, object }: Needs<'subject' | 'object'>) =>
    `"${subject}" is another plugin and not podlink: --force keeps it as ${basename(`${object}`)}`,
  'configuration-foreign': ({ subject, object }: Needs<'subject' | 'object'>) =>
    `"${subject}" is there already, and "podlink install" did not write it: --force keeps it as ${basename(`${object}`)}`,
  'kept-name-taken': ({ subject, object }: Needs<'subject' | 'object'>) =>
    `"${subject}" cannot be kept as "${object}", which is there already: move one of them away`,
  'kept-file-changed': ({ object }: Needs<'subject' | 'object'>) =>
    `"${object}" is not what was kept there, and is left as it is`,
  'plugin-changed': (parts: Needs<'subject'> & Maybe<'object'>) => describeChanged(parts),
  'configuration-changed': (parts: Needs<'subject'> & Maybe<'object'>) =>
    `${describeChanged(parts)}: delete it yourself, the runtime still sees a network whose plugin is gone`,
};

type Sentences = typeof SENTENCES;
export type PlaceCode = keyof Sentences;
export type PlaceDiagnosis = Diagnosis<PlaceCode>;

/** State what is wrong with a place: a code, and the parts that its sentence needs. */
export function diagnose<Code extends PlaceCode>(code: Code, ...[parts]: PartsOf<Sentences, Code>): PlaceDiagnosis {
  return { code, ...(parts as object | undefined) };
}

/** Say what is wrong. */
export function reasonOf(diagnosis: PlaceDiagnosis): string {
  const table = SENTENCES as Readonly<Record<PlaceCode, (parts: PlaceDiagnosis) => string>>;
  return table[diagnosis.code](diagnosis);
}

/** All codes, for their documentation. */
export function placeCodes(): PlaceCode[] {
  return Object.keys(SENTENCES) as PlaceCode[];
}

function describeChanged({ object }: Maybe<'object'>): string {
  const also = object === undefined ? '' : `; "${object}" is what was there before`;
  return `it is not what was installed${also}`;
}
