// What a run of the bench has found: every measurement, and what they were taken on.

import type { SectionName } from './section.ts';

/** The same task done by podlink and by another, in turns. */
export interface Row {
  readonly section: SectionName;
  /** By which targets find it; unique. */
  readonly id: string;
  readonly what: string;
  readonly unit: 'ms' | 'MB' | 'pods/s';
  /** One number a measurement: of tasks that have succeeded. */
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  /** Tasks of the other that have failed, beside those in `peer`. A task of ours that fails ends the run. */
  readonly peerFailures?: number;
  readonly isCharted?: boolean;
}

export interface PhaseTimes {
  readonly name: string;
  readonly ms: readonly number[];
}

/** The phases of one kind of call inside our process. */
export interface PhaseColumn {
  /** By which targets find it; unique. */
  readonly id: string;
  readonly what: string;
  readonly phases: readonly PhaseTimes[];
  /** Of each call: from the start of `main` to its end. */
  readonly work: readonly number[];
  /** Of each call: what a caller waits for before and after: the kernel's part of the start, and the exit. */
  readonly outside: readonly number[];
  /** As the caller waits for it, here as in the other rows; these calls are others, made after those. */
  readonly whole: readonly number[];
}

/** Facts of the machine and of what ran on it, as shown. */
export type Facts = readonly (readonly [name: string, value: string])[];

/** What was measured. */
export interface Findings {
  readonly rows: readonly Row[];
  readonly phases: readonly PhaseColumn[];
  /** What starting a program costs that does nothing. */
  readonly startMs: number;
}

export interface Report extends Findings {
  readonly date: string;
  readonly facts: Facts;
}
