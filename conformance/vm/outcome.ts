// The report of the test runner in a machine.

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Read the last line of the test runner; undefined when there is none. */
export function outcomeOf(output: string): Outcome | undefined {
  const line = [...output.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped\r?$/gm)].at(-1);
  if (!line) return undefined;
  return { passed: Number(line[1]), failed: Number(line[2]), skipped: Number(line[3]) };
}
