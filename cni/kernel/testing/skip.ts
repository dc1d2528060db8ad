// Tests that need something not every kernel has.

import type { Test } from 'uvu';

/**
 * Add a test if nothing stands against it. `reason` is why it cannot run here; then the test does no more than print
 * the line `SKIP title: reason`, which the suite counts. uvu's own test.skip() has no place for a reason.
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
  test(title, () => console.log(`\nSKIP ${title}: ${reason}`));
}
