// What a test file's output says: uvu's closing lines, and our own lines for tests that were skipped.
//
//   SKIP <title>: <reason>
//
//     Total:     7
//     Passed:    6
//     Skipped:   0
//
// A test that prints a SKIP line returns normally, so uvu counts it among the passed.

export interface Skip {
  readonly title: string;
  readonly reason: string;
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly Skip[];
  /** What is wrong with the run besides failed tests, one sentence each. */
  readonly problems: readonly string[];
}

/** How a test file's process ended. */
export interface Ending {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/**
 * Count the tests of one file.
 *
 * A file that ends without uvu's totals, with a wrong exit code or with tests skipped for no reason counts as one
 * failure more, explained in `problems`.
 */
export function tallyOf(ending: Ending): Tally {
  const { output } = ending;
  const skips = [...output.matchAll(/(?:^|[\s•✘])SKIP (.+?): (.+)$/gm)].map((match) => ({
    title: match[1] ?? '',
    reason: match[2] ?? '',
  }));
  const total = sumOf(output, 'Total');
  const succeeded = sumOf(output, 'Passed') ?? 0;
  const unexplained = sumOf(output, 'Skipped') ?? 0;
  const problems: string[] = [];
  if (ending.signal !== null) problems.push(`was ended by ${ending.signal}`);
  else if (total === undefined) problems.push(`ended with exit code ${ending.exitCode} and no totals`);
  else if (total === 0) problems.push('executed no test');
  else if (ending.exitCode !== 0 && succeeded === total) problems.push(`ended with exit code ${ending.exitCode}`);
  else if (skips.length > succeeded) problems.push(`printed ${skips.length} SKIP lines for ${succeeded} tests`);
  if (unexplained > 0) {
    problems.push(`left out ${unexplained} tests (test.skip or test.only): print "SKIP title: reason" instead`);
  }
  return {
    passed: Math.max(0, succeeded - skips.length),
    failed: (total ?? 0) - succeeded + problems.length,
    skips,
    problems,
  };
}

/** The sum of all lines `  Label:     N`, undefined when there is none. */
function sumOf(output: string, label: string): number | undefined {
  const numbers = [...output.matchAll(new RegExp(`^\\s*${label}:\\s+(\\d+)\\s*$`, 'gm'))].map((m) => Number(m[1]));
  return numbers.length === 0 ? undefined : numbers.reduce((sum, number) => sum + number, 0);
}
