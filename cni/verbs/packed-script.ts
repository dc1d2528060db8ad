// Scripts that lie in the executable as assets and not in its startup snapshot, since every call of a runtime reads the
// snapshot, and ADD and DEL need none of them: the operator's commands (5 ms of every start), the client of the Kubernetes
// API (16), and what reads other firewalls' rules, which only CHECK and `doctor` do.

import { isPacked, loadAsset } from '../kernel/packed-library.ts';

/** Scripts by the name of their asset, and what they are imported as when run from source. build.mjs makes the assets. */
const SOURCES = {
  'operator.cjs': '../operator/cli/command-line.ts',
  'foreign-firewall.cjs': '../features/firewall/foreign-firewall.ts',
  'kubernetes-client.cjs': '@kubernetes/client-node',
} as const;

/** Load what a script exports, from the executable, or from source. It shares no class with those who load it. */
export async function loadScript(asset: keyof typeof SOURCES): Promise<unknown> {
  const source: string = SOURCES[asset];
  return isPacked() ? loadAsset(asset) : await import(source);
}
