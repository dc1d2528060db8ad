// What is said of a series of measurements. Nothing is left out of one: an outlier is part of what users wait for.

/** The middle one, or the mean of both in the middle. NaN of an empty series. */
export function medianOf(series: readonly number[]): number {
  const sorted = series.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** The smallest that at least 95 of a hundred do not exceed (nearest rank). NaN of an empty series. */
export function p95Of(series: readonly number[]): number {
  const sorted = series.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
}

/** The largest. NaN of an empty series. */
export function maximumOf(series: readonly number[]): number {
  return series.length === 0 ? Number.NaN : Math.max(...series);
}
