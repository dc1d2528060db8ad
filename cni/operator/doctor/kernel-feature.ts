// What the running kernel can do, told without trying: a try would load modules or make something.
//
//   /sys/module/NAME                  it is loaded (or built in, and has parameters)
//   /proc/config.gz, /boot/config-R   what the kernel was built with (R: its release)
//   /lib/modules/R/config             likewise, on newer distributions
//   /lib/modules/R/modules.builtin    what is built in
//   /lib/modules/R/modules.dep        what can be loaded
//
// A container often sees none of the last three: then only what is loaded is known, and nothing is known to be missing.
// nf_tables and its parts can be tried without a change: doctor-kernel.ts does, since a module may be listed and gone.

import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import * as parts from '../../kernel/nftables/kernel-part.ts';
import type { KernelNeed } from '../../protocol/schema.ts';

/** Something a kernel may have been built with. */
export interface KernelFeature {
  /** As people call it. */
  readonly name: string;
  readonly option: string;
  /** Undefined for what is part of another. */
  readonly module?: string;
  /** A path that is there only while the feature is: it may be built in and turned off. */
  readonly sign?: string;
}

export const VETH: KernelFeature = { name: 'veth', option: 'CONFIG_VETH', module: 'veth' };
export const BRIDGE: KernelFeature = { name: 'bridge', option: 'CONFIG_BRIDGE', module: 'bridge' };
export const VLAN_FILTERING: KernelFeature = { name: 'bridge VLAN filtering', option: 'CONFIG_BRIDGE_VLAN_FILTERING' };
export const IPV6: KernelFeature = {
  name: 'IPv6',
  option: 'CONFIG_IPV6, and no ipv6.disable=1 on its command line',
  sign: '/proc/sys/net/ipv6/conf',
};

const NF_TABLES: KernelFeature = { ...parts.NF_TABLES, module: 'nf_tables' };
const INET: KernelFeature = parts.NF_TABLES_INET;
const CONNTRACK: KernelFeature = { ...parts.NFT_CT, module: 'nft_ct' };
const CHAIN_NAT: KernelFeature = { ...parts.NFT_CHAIN_NAT, module: 'nft_chain_nat' };
const NAT: KernelFeature = { ...parts.NFT_NAT, module: 'nft_nat' };
const MASQUERADE: KernelFeature = { ...parts.NFT_MASQ, module: 'nft_masq' };
const FIB: KernelFeature = { ...parts.NFT_FIB_INET, module: 'nft_fib_inet' };
const NF_BRIDGE: KernelFeature = parts.NF_TABLES_BRIDGE;
const TBF: KernelFeature = { name: 'tbf', option: 'CONFIG_NET_SCH_TBF', module: 'sch_tbf' };
const HTB: KernelFeature = { name: 'htb', option: 'CONFIG_NET_SCH_HTB', module: 'sch_htb' };
const INGRESS: KernelFeature = { name: 'ingress qdisc', option: 'CONFIG_NET_SCH_INGRESS', module: 'sch_ingress' };
const U32: KernelFeature = { name: 'u32 classifier', option: 'CONFIG_NET_CLS_U32', module: 'cls_u32' };
const MIRRED: KernelFeature = { name: 'mirred action', option: 'CONFIG_NET_ACT_MIRRED', module: 'act_mirred' };
const IFB: KernelFeature = { name: 'ifb', option: 'CONFIG_IFB', module: 'ifb' };

const FOR_FILTERING = [NF_TABLES, INET, CONNTRACK];
const FOR_MASQUERADING = [NF_TABLES, INET, CONNTRACK, CHAIN_NAT, MASQUERADE];
export const FOR_PORTS = [...FOR_MASQUERADING, NAT, FIB];
export const FOR_FRAMES = [NF_TABLES, NF_BRIDGE];
const FOR_INGRESS_LIMITS = [TBF, HTB, U32];
export const FOR_EGRESS_LIMITS = [...FOR_INGRESS_LIMITS, INGRESS, MIRRED, IFB];

/** The features behind each need that a key or a capability states. */
export const FEATURES_OF_NEED: Readonly<Record<KernelNeed, readonly KernelFeature[]>> = {
  'VLAN filtering': [VLAN_FILTERING],
  masquerading: FOR_MASQUERADING,
  filtering: FOR_FILTERING,
  'internal networks': [...FOR_FILTERING, ...FOR_FRAMES],
  frames: FOR_FRAMES,
  ports: FOR_PORTS,
  'ingress limits': FOR_INGRESS_LIMITS,
  'egress limits': FOR_EGRESS_LIMITS,
};

export type Presence = 'there' | 'missing' | 'unknown';

/** The kernel's own files, as far as they can be read. */
export interface KernelFiles {
  /** `CONFIG_…=y` lines. */
  readonly config: string | undefined;
  /** modules.builtin and modules.dep in one. */
  readonly modules: string | undefined;
  isLoaded(module: string): boolean;
  isThere(path: string): boolean;
}

export function readKernelFiles(): KernelFiles {
  const directories = ['/lib/modules', '/usr/lib/modules'].map((directory) => `${directory}/${release()}`);
  const directory = directories.find(existsSync) ?? '';
  const lists = [read(`${directory}/modules.builtin`), read(`${directory}/modules.dep`)];
  return {
    config: readCompressed('/proc/config.gz') ?? read(`/boot/config-${release()}`) ?? read(`${directory}/config`),
    modules: lists.every((list) => list === undefined) ? undefined : lists.join('\n'),
    isLoaded: (module) => existsSync(`/sys/module/${module}`),
    isThere: existsSync,
  };
}

/** Whether the kernel has a feature, or can load it when it is needed. */
export function probe({ option, module, sign }: KernelFeature, kernel: KernelFiles): Presence {
  const { config, modules, isLoaded } = kernel;
  if (sign !== undefined) return kernel.isThere(sign) ? 'there' : 'missing';
  if (module !== undefined && isLoaded(module)) return 'there';
  const built = config === undefined ? undefined : (new RegExp(`^${option}=([ym])$`, 'm').exec(config)?.[1] ?? 'n');
  if (built === 'y') return 'there';
  if (built === 'n') return 'missing';
  // An option of several values that makes no module of its own: what it is part of is a module.
  if (module === undefined && built === 'm') return 'there';
  if (module === undefined || modules === undefined) return 'unknown';
  return hasModule(modules, module) ? 'there' : 'missing';
}

/** Lines of `kernel/net/sched/sch_tbf.ko`, in modules.dep with `.xz` or the like and what it depends on behind it. */
function hasModule(modules: string, module: string): boolean {
  // A module's file may be spelled with "-" where its name has "_".
  const spelled = module.replaceAll('_', '[-_]');
  return new RegExp(`^\\S*/${spelled}\\.ko(\\.\\w+)?(:|$)`, 'm').test(modules);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // not there, or not for us: it tells nothing then
  }
}

function readCompressed(path: string): string | undefined {
  try {
    return process.getBuiltinModule('node:zlib').gunzipSync(readFileSync(path)).toString('utf8');
  } catch {
    return undefined; // likewise
  }
}
