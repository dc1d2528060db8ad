// Something wrong with a configuration, as `validate` tells it.

export interface Fault {
  /** error: an ADD fails. warning: it does something else than what was meant, or may. */
  readonly level: 'error' | 'warning';
  readonly message: string;
}

export function warning(message: string): Fault {
  return { level: 'warning', message };
}

/** The value of a key in whatever case; the last one counts, null is absent. As cni/protocol/fields.ts reads it. */
export function valueAt(object: Readonly<Record<string, unknown>>, key: string): unknown {
  const entry = Object.entries(object).findLast(([name]) => name.toLowerCase() === key.toLowerCase());
  return entry?.[1] ?? undefined;
}
