// The clock for deadlines and phases.

/**
 * Milliseconds since the process was started, from a clock that nobody sets.
 *
 * Not performance.now(): the first use of that global loads nine of Node's modules, for which the snapshot has no place,
 * and takes 3 ms.
 */
export function monotonicMs(): number {
  return process.uptime() * 1000;
}
