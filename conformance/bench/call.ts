// What the bench asks to be run in the namespace that plays the host, and what it is told of it. Sent as JSON.

/** One program, run as a runtime runs it. */
export interface Call {
  readonly program: string;
  readonly args?: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input: Readonly<Record<string, unknown>>;
}

/** What one pod needs: calls one after the other, the next only when the one before has succeeded. */
export interface Sequence {
  readonly calls: readonly Call[];
  /** Whether each call gets the output of the one before as `prevResult`, as in a chain of CNI plugins. */
  readonly handsOn: boolean;
}

/** How a sequence ended. */
export interface Ending {
  /** Since the batch was begun. */
  readonly ms: number;
  /** Of the last call. */
  readonly stdout: string;
  readonly stderr: string;
  /** What the call said that failed. */
  readonly failure?: string;
}

/** Sequences that were begun together. */
export interface Batch {
  /** Until the last has ended. */
  readonly ms: number;
  /** In the order of the sequences. */
  readonly endings: readonly Ending[];
  /** Processor time of all processes, user and system, in steps of 10 ms. */
  readonly cpuMs: number;
}
