// What podlink wants to reach. A target that is missed is said to be; it is no failure of the bench.

import type { Report, Row } from './report.ts';
import { medianOf } from './statistics.ts';

interface Target {
  readonly what: string;
  readonly limit: number;
  readonly is: 'most' | 'least';
  readonly unit: '' | ' ms' | ' %';
  /** Undefined when it was not measured. */
  readonly measure: (report: Report) => number | undefined;
}

export interface Verdict {
  readonly what: string;
  readonly limit: string;
  readonly measured: string;
  readonly isMet: boolean;
}

const TARGETS: readonly Target[] = [
  { what: "The kubelet's chain, ADD, ratio", limit: 0.4, is: 'most', unit: '', measure: ratio('chain ADD') },
  { what: "The kubelet's chain, DEL, ratio", limit: 0.3, is: 'most', unit: '', measure: ratio('chain DEL') },
  { what: 'Bridge with masquerading, ADD, ratio', limit: 1.3, is: 'most', unit: '', measure: ratio('masquerade ADD') },
  { what: 'Bridge with masquerading, DEL, ratio', limit: 0.9, is: 'most', unit: '', measure: ratio('masquerade DEL') },
  {
    what: '32 pods at once, ADD, throughput, ratio',
    limit: 3,
    is: 'least',
    unit: '',
    measure: ratio('burst 32 ADD rate'),
  },
  {
    what: '32 pods at once, DEL, throughput, ratio',
    limit: 3,
    is: 'least',
    unit: '',
    measure: ratio('burst 32 DEL rate'),
  },
  {
    what: 'Own work of ADD, bridge with masquerading',
    limit: 8,
    is: 'most',
    unit: ' ms',
    measure: work('masquerade ADD'),
  },
  { what: "Own work of ADD, the kubelet's chain", limit: 8, is: 'most', unit: ' ms', measure: work('chain ADD') },
  { what: 'ADD beside 1,000 pods takes longer by', limit: 10, is: 'most', unit: ' %', measure: growth('ADD') },
  { what: 'DEL beside 1,000 pods takes longer by', limit: 10, is: 'most', unit: ' %', measure: growth('DEL') },
];

/** Judge all targets that were measured. */
export function verdictsOf(report: Report): Verdict[] {
  return TARGETS.flatMap(({ what, limit, is, unit, measure }) => {
    const measured = measure(report);
    if (measured === undefined) return [];
    const digits = unit === '' ? 2 : 1;
    // As it is shown, so that nothing looks met and is not.
    const shown = measured.toFixed(digits);
    const isMet = is === 'most' ? Number(shown) <= limit : Number(shown) >= limit;
    return [{ what, limit: `${is === 'most' ? '≤' : '≥'} ${limit}${unit}`, measured: `${shown}${unit}`, isMet }];
  });
}

/** Ours divided by the other's, medians of both. Undefined when one was not measured. */
export function ratioOf({ ours, peer }: Row): number | undefined {
  const value = medianOf(ours) / medianOf(peer);
  return Number.isNaN(value) ? undefined : value;
}

function find(report: Report, id: string): Row | undefined {
  return report.rows.find((row) => row.id === id);
}

function ratio(id: string): Target['measure'] {
  return (report) => {
    const row = find(report, id);
    return row && ratioOf(row);
  };
}

function work(id: string): Target['measure'] {
  return (report) => {
    const column = report.phases.find((each) => each.id === id);
    return column && medianOf(column.work);
  };
}

function growth(verb: string): Target['measure'] {
  return (report) => {
    const [alone, beside] = [find(report, `crowd 0 ${verb}`), find(report, `crowd 1000 ${verb}`)];
    return alone && beside && 100 * (medianOf(beside.ours) / medianOf(alone.ours) - 1);
  };
}
