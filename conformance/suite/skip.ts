// How a test says that it could not run here. The runner counts the line and shows it (tally.ts).

/** Report a test as skipped, with the reason; the test then returns. */
export function skip(title: string, reason: string): void {
  console.log(`\nSKIP ${title.replaceAll(': ', ' ')}: ${reason}`);
}
