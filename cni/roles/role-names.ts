// The names that podlink answers to, as data: the name it is run as, the `type` of a configuration, an `ipam.type`, and the
// links that `install` puts beside it. roles.ts has what each of them does.

interface RoleRow {
  readonly name: string;
  /** ipam: hands out addresses, and can stand in `ipam.type`. */
  readonly kind: 'interface' | 'ipam';
  /** Whether the reference has a plugin of this name, in whose place `install` puts a link. */
  readonly isStock: boolean;
}

export const ROLE_ROWS = [
  { name: 'podlink', kind: 'interface', isStock: false },
  { name: 'loopback', kind: 'interface', isStock: true },
  { name: 'host-local', kind: 'ipam', isStock: true },
  { name: 'static', kind: 'ipam', isStock: true },
  { name: 'podlink-etcd', kind: 'ipam', isStock: false },
] as const satisfies readonly RoleRow[];

export type RoleName = (typeof ROLE_ROWS)[number]['name'];

/**
 * Find the row that a name stands for; undefined when it is another plugin's.
 *
 * Any other name with "podlink" in it is a copy of the executable, kept under a name of its own: `podlink-0.1.0`,
 * `podlink.old`.
 */
export function findRoleRow(name: string): (typeof ROLE_ROWS)[number] | undefined {
  return ROLE_ROWS.find((row) => row.name === name) ?? (name.includes('podlink') ? ROLE_ROWS[0] : undefined);
}
