// The container runtime: whether it speaks the versions of CNI that the configurations ask it to speak.

import type { Call } from '../cli/command.ts';
import { askContainerdVersion } from '../install/containerd-version.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

const subject = 'runtime';

/** Results of CNI 1.1.0 are read by containerd 2 and newer. */
const LATEST_OF_CONTAINERD_1 = '1.0.0';

export async function examineRuntime(_call: Call, networks: readonly Network[]): Promise<Finding[]> {
  const version = await askContainerdVersion();
  return version === undefined ? [] : findingsOfContainerd(version, networks);
}

/** Tell of networks whose results that containerd cannot read: every pod of theirs fails. */
export function findingsOfContainerd(version: string, networks: readonly Network[]): Finding[] {
  const running: Finding = { level: 'ok', subject, what: `containerd ${version} answers` };
  if (Number.parseInt(version, 10) >= 2) return [running];
  const tooNew = networks.filter(({ file, config }) => file !== undefined && config?.cniVersion === '1.1.0');
  return [
    running,
    ...tooNew.map(({ name, file }) => {
      const parts = { subject: name, of: file ?? '', expected: LATEST_OF_CONTAINERD_1, found: version };
      return finding('warn', subject, 'cni-version-too-new', parts);
    }),
  ];
}
