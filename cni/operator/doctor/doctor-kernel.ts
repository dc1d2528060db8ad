// The kernel: new enough, and with what the networks of this node need.

import { release } from 'node:os';
import { ALL_RULESETS } from '../../features/feature-registry.ts';
import type { NetlinkError } from '../../kernel/netlink/error.ts';
import { openOwnNetns } from '../../kernel/netns.ts';
import { openNftables } from '../../kernel/nftables/connection.ts';
import { MissingKernelPartError, KERNEL_PARTS } from '../../kernel/nftables/kernel-part.ts';
import { replaceRulesets } from '../../kernel/nftables/ruleset.ts';
import { type Link, listLinks } from '../../kernel/rtnetlink/link/link.ts';
import { withRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import type { Call } from '../cli/command.ts';
import { kernelNeedsOf } from './config-needs.ts';
import { type Finding, finding } from './finding.ts';
import {
  BRIDGE,
  FOR_EGRESS_LIMITS,
  FOR_FRAMES,
  FOR_PORTS,
  IPV6,
  type KernelFeature,
  type KernelFiles,
  type Presence,
  probe,
  readKernelFiles,
  VETH,
  VLAN_FILTERING,
} from './kernel-feature.ts';
import type { Network } from '../listing/network-list.ts';

/** What everything works from on (README). */
const OLDEST: readonly [major: number, minor: number] = [5, 7];

/** Groups of features, and what is not to be had without one of them. */
const GROUPS: readonly {
  readonly features: readonly KernelFeature[];
  readonly purpose: string;
  readonly isVital: boolean;
}[] = [
  { features: [VETH, BRIDGE], purpose: 'bridge mode', isVital: true },
  {
    features: FOR_PORTS,
    purpose: 'masquerading ("ipMasq"), published ports and isolation ("icc", "internal")',
    isVital: false,
  },
  { features: FOR_FRAMES, purpose: '"macspoofchk" and "internal"', isVital: false },
  { features: FOR_EGRESS_LIMITS, purpose: 'bandwidth limits', isVital: false },
  { features: [IPV6], purpose: 'IPv6 addresses', isVital: false },
  { features: [VLAN_FILTERING], purpose: '"vlan" and "vlanTrunk"', isVital: false },
];

export function examineKernel(_call: Call, networks: readonly Network[]): Finding[] {
  return [
    examineRelease(release()),
    ...examineFeatures(networks, readKernelFiles(), tryNftables()),
    ...examineStockIfbs(),
  ];
}

/** What a try has told; undefined where it has not. */
export type Trial = (feature: KernelFeature) => Presence | undefined;

const UNTRIED: Trial = () => undefined;

/** Have the kernel look at all rules, as `nft --check` does. It loads the modules that an ADD would load. */
function tryNftables(): Trial {
  const nft = openNftables();
  try {
    return judgeRehearsal(nft.rehearse(replaceRulesets(ALL_RULESETS)));
  } finally {
    nft.close();
  }
}

/** `failures`: what the kernel has against all rules. */
export function judgeRehearsal(failures: readonly NetlinkError[]): Trial {
  const missing = failures.flatMap((failure) => (failure instanceof MissingKernelPartError ? [failure.part.name] : []));
  // Refused for other reasons, or without what most of the rules stand in: nobody has come to the rest.
  const isWhole = failures.length === missing.length;
  return ({ name }) => {
    if (missing.includes(name)) return 'missing';
    return isWhole && KERNEL_PARTS.some((part) => part.name === name) ? 'there' : undefined;
  };
}

function examineStockIfbs(): Finding[] {
  const own = openOwnNetns();
  try {
    return describeStockIfbs(withRtnetlink(own, listLinks));
  } finally {
    own.close();
  }
}

/** The kernel's module ifb makes two links when it is loaded, which people take for ours. */
export function describeStockIfbs(links: readonly Pick<Link, 'name' | 'kind' | 'alias'>[]): Finding[] {
  const names = links
    .filter(({ kind, name, alias }) => kind === 'ifb' && /^ifb\d$/.test(name) && alias === undefined)
    .map(({ name }) => name);
  if (names.length === 0) return [];
  const what = `${names.join(', ')}: made by the kernel's module ifb when it was loaded, and not used by podlink ("options ifb numifbs=0" in /etc/modprobe.d/ifb.conf keeps them away)`;
  return [{ level: 'ok', subject: 'kernel', what }];
}

/** `text`: as uname(2) tells it, 6.18.44-fc-v657. */
export function examineRelease(text: string): Finding {
  const [major = 0, minor = 0] = text.split('.').map((part) => Number.parseInt(part, 10));
  const isOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  if (!isOld) return { level: 'ok', subject: 'kernel', what: `Linux ${text}` };
  return finding('fail', 'kernel', 'kernel-too-old', { expected: OLDEST.join('.'), found: text });
}

/** A feature that is missing is a failure only where a network of this node needs it. */
export function examineFeatures(networks: readonly Network[], kernel: KernelFiles, trial: Trial = UNTRIED): Finding[] {
  const presenceOf = (feature: KernelFeature): Presence => trial(feature) ?? probe(feature, kernel);
  const needed = new Map<KernelFeature, { readonly subject: string; readonly of: string }>();
  for (const { name, config } of networks) {
    for (const { key, features } of config ? kernelNeedsOf(config) : []) {
      for (const feature of features) needed.set(feature, { subject: key, of: name });
    }
  }
  return GROUPS.map(({ features, purpose, isVital }): Finding => {
    const missing = features.filter((feature) => presenceOf(feature) === 'missing');
    const unknown = features.filter((feature) => presenceOf(feature) === 'unknown');
    const demand = missing.map((feature) => needed.get(feature)).find((need) => need !== undefined);
    if (missing.length > 0) {
      const found = missing.map(({ name, option }) => `${name} (${option})`);
      if (!isVital && demand === undefined) {
        const what = `the kernel lacks ${found.join(', ')}: no ${purpose}, which no network here asks for`;
        return { level: 'ok', subject: 'kernel', what };
      }
      return demand === undefined
        ? finding('fail', 'kernel', 'kernel-lacks-feature', { object: purpose, found })
        : finding('fail', 'kernel', 'kernel-lacks-feature-of-network', { ...demand, found });
    }
    if (unknown.length > 0) {
      const found = unknown.map(({ name }) => name);
      return finding('unknown', 'kernel', 'kernel-feature-unseen', { object: purpose, found });
    }
    return { level: 'ok', subject: 'kernel', what: `${features.map(({ name }) => name).join(', ')}: for ${purpose}` };
  });
}
