// Something wrong with a configuration, as `validate` tells it.

import type { Parts } from '../../diagnosis/diagnosis.ts';
import { nearestWord } from '../cli/spelling.ts';
import { type ConfigurationDiagnosis, messageOf } from './configuration-diagnosis.ts';

export interface Fault {
  /** error: an ADD fails. warning: it does something else than what was meant, or may. */
  readonly level: 'error' | 'warning';
  readonly diagnosis: ConfigurationDiagnosis;
}

/** As `--json` prints it, and as a person reads it. */
export interface ToldFault extends Fault {
  readonly message: string;
}

export function error(diagnosis: ConfigurationDiagnosis): Fault {
  return { level: 'error', diagnosis };
}

export function warning(diagnosis: ConfigurationDiagnosis): Fault {
  return { level: 'warning', diagnosis };
}

/** Put a fault into words. */
export function tell<Some extends Fault>(fault: Some): Some & ToldFault {
  return { ...fault, message: messageOf(fault.diagnosis) };
}

/** The word that may have been meant, as a part of a diagnosis; none where no word is near. */
export function meant(text: string, words: Iterable<string>): Pick<Parts, 'expected'> {
  const expected = nearestWord(text, words);
  return expected === undefined ? {} : { expected };
}

/** The value of a key in whatever case; the last one counts, null is absent. As cni/protocol/fields.ts reads it. */
export function valueAt(object: Readonly<Record<string, unknown>>, key: string): unknown {
  const entry = Object.entries(object).findLast(([name]) => name.toLowerCase() === key.toLowerCase());
  return entry?.[1] ?? undefined;
}
