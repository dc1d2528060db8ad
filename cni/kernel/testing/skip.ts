// Tests that need something not every kernel has.

import type { Test } from 'uvu';

/**
 * Add a test if nothing stands against it. `reason` is why it cannot run here; then the test is skipped, and the line
 * `SKIP title: reason` says so.
 */
export function testUnless(
  test: Test,
  reason: string | undefined,
  title: string,
  work: () => void | Promise<void>,
): void {
  if (reason === undefined) {
    test(title, work);
    return;
  }
  console.log(`SKIP ${title}: ${reason}`);
  test.skip(title, work);
}
