// A limit on a veth pair between two namespaces, made as ADD makes it, and tc(8) to look at it.

import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { execFileSync } from 'node:child_process';
import { addVethPair } from '../../kernel/rtnetlink/link/veth.ts';
import { type TestNamespace, withHostAndSandbox } from '../../kernel/testing/namespaces.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { bandwidthFeature } from '../bandwidth/bandwidth.ts';
import type { FeatureObjects } from '../feature.ts';
import { connected } from './connected.ts';

/** Run tc(8) in a namespace, and return what it prints. */
export function tc(ns: TestNamespace, ...args: readonly string[]): string {
  return execFileSync('tc', ['-n', ns.name, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export interface Limited {
  readonly objects: FeatureObjects;
  readonly warnings: readonly string[];
  check(): string[];
  remove(objects?: FeatureObjects | undefined): void;
  /** Do it all again, as after a kill. */
  repeat(): void;
}

/** Add the feature to an interface of the host, as ADD does. */
export function limit(
  host: TestNamespace,
  pod: TestNamespace,
  hostInterface: string,
  keys: object,
  ifname = 'eth0',
): Limited {
  const key = { network: 'pods', containerId: 'c1', ifname };
  const warnings: string[] = [];
  const warn = (message: string): void => {
    warnings.push(message);
  };
  const plan = bandwidthFeature.plan({
    key,
    config: parseNetworkConfig(
      JSON.stringify({ cniVersion: '1.0.0', name: 'pods', runtimeConfig: { bandwidth: keys } }),
    ),
    cniArgs: new Map(),
    mode: 'bridge',
    isConfigured: true,
    hasOwnInterface: true,
    hasBridge: true,
    sharesNamespace: false,
    warn,
  });
  if (!plan?.objects || !plan.apply) throw new Error('Cannot find a limit in the configuration');
  const featureHost = { route: host.route, runDir: '', warn };
  const own = { key, bridge: undefined, gateway: undefined, hostInterface, mac: undefined, addresses: [] };
  const attachment = connected(own, featureHost, pod.netns);
  const objects = plan.objects(attachment);
  const apply = (): void => plan.apply?.(attachment, objects);
  apply();
  return {
    objects,
    warnings,
    check: () => (plan.check ? sentencesOf(plan.check(attachment)) : ['has no check']),
    remove: (known = objects) => bandwidthFeature.remove?.(featureHost, { key, objects: known, sandbox: undefined }),
    repeat: apply,
  };
}

/** Host and sandbox with a veth pair between them, and nothing else. */
export async function withPair(work: (host: TestNamespace, pod: TestNamespace) => void | Promise<void>): Promise<void> {
  await withHostAndSandbox(async (host, pod) => {
    addVethPair(host.route, { name: 'pod0', isUp: true }, { name: 'eth0' }, pod.netns.fd);
    await work(host, pod);
  });
}
