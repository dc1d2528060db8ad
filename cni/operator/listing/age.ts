// Points in time as people read them.

/** How long ago a time (ISO 8601) was, in its largest unit: `45s`, `12m`, `3h`, `6d`. `?` for what is no time. */
export function formatAge(created: string, now: Date): string {
  const seconds = ageSeconds(created, now);
  if (seconds === undefined) return '?';
  if (seconds < 0) return 'in the future';
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** Whole seconds since a time; undefined for what is none. Negative where a clock was set back. */
export function ageSeconds(created: string, now: Date): number | undefined {
  const time = Date.parse(created);
  return Number.isNaN(time) ? undefined : Math.floor((now.getTime() - time) / 1000);
}

/** `2026-11-21 07:52:03 UTC`; what is no time stays as it is. */
export function formatTime(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
