// Tuning: sysctls of the container's network namespace, and what the mode does not set on the container's interface.
//
// The interface goes with the attachment, and with it all that is set on it. The namespace may stay (a container that is
// taken off one of several networks): its sysctls get their values back, or those that its other attachments give them.
// Networks that ask for different values of one sysctl cannot have one container; records of 0.1.0 may tell of some.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { inNetns, type Netns } from '../../kernel/netns.ts';
import { findLink, IFF_ALLMULTI, IFF_PROMISC, setLink } from '../../kernel/rtnetlink/link/link.ts';
import { withRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { CniError, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import { isObject } from '../../protocol/fields.ts';
import type { Feature, FeatureObjects, FeaturePlan, FeatureRequest, ListOthers } from '../feature.ts';
import { findDisallowed } from './tuning-allowlist.ts';
import { parseTuningConfig, TUNING_TABLE, type TuningConfig } from './tuning-config.ts';
import {
  changesOf,
  checkSysctls,
  isInherited,
  isOfLink,
  readSysctls,
  refuseContradiction,
  requireAddressesKept,
  restoreSysctls,
  setSysctls,
  type SysctlChange,
  type SysctlValues,
} from './tuning-sysctl.ts';

export const tuningFeature: Feature = {
  name: 'tuning',
  keys: TUNING_TABLE,
  rulesets: [],
  plan: (request) => planTuning(request),
  remove(_host, { objects, sandbox, listOthers }) {
    // The namespace is gone, or nobody knows what it was like before.
    if (!objects || !sandbox) return;
    const changes = decodeObjects(objects);
    if (changes.length === 0) return;
    const { changes: others } = decodeSiblings(listOthers);
    inNetns(sandbox, () => restoreSysctls(changes, others));
  },
};

/** `allowlistPath`: for tests. */
export function planTuning(request: FeatureRequest, allowlistPath?: string): FeaturePlan | undefined {
  const config = parseTuningConfig(request);
  if (!config) return undefined;
  for (const fault of findDisallowed(config.sysctls, allowlistPath)) request.config.fields.report(fault);
  const { ifname } = request.key;
  const inherited = config.sysctls.filter(({ key }) => isInherited(key));
  const ofLink = config.sysctls.filter(({ key }) => isOfLink(key, ifname));
  let early: SysctlChange[] | undefined;
  let siblings: Siblings | undefined;
  let known: readonly string[] = [];
  let values: SysctlValues | undefined;
  return {
    ...(config.sysctls.length > 0 && {
      early: {
        objects(sandbox, addresses, listOthers) {
          siblings = decodeSiblings(listOthers);
          const { changes, wishes } = siblings;
          refuseContradiction(config.sysctls, wishes);
          known = addresses;
          if (inherited.length === 0) return undefined;
          early = inNetns(sandbox, () => {
            requireAddressesKept(inherited, ifname, addresses);
            return changesOf(inherited, changes);
          });
          return early.length > 0 ? { sysctls: early } : undefined;
        },
        setNamespace(sandbox) {
          if (inherited.length > 0) inNetns(sandbox, () => setSysctls(inherited));
        },
        setInterface(sandbox) {
          if (ofLink.length === 0) return;
          inNetns(sandbox, () => {
            requireAddressesKept(ofLink, ifname, known);
            setSysctls(ofLink);
          });
        },
      },
    }),
    objects({ sandbox: { netns }, addresses }, listOthers) {
      if (config.sysctls.length === 0) return { sysctls: [] };
      const others = siblings ?? decodeSiblings(listOthers);
      // Those that have been set early do not tell any more what they were.
      const late = early ? config.sysctls.filter((setting) => !inherited.includes(setting)) : config.sysctls;
      const changes = inNetns(netns, () => {
        requireAddressesKept(late, ifname, addresses);
        values = readSysctls(config.sysctls);
        return changesOf(late, others.changes, values);
      });
      const sysctls = [...(early ?? []), ...changes.filter(({ key }) => !isOfLink(key, ifname))];
      const unchanged = config.sysctls.filter(
        ({ key }) => !isOfLink(key, ifname) && !sysctls.some((change) => change.key === key),
      );
      return {
        sysctls,
        ...(unchanged.length > 0 && { unchanged: unchanged.map(({ key, value }) => ({ key, value })) }),
      };
    },
    apply({ sandbox: { netns } }) {
      tuneLink(netns, ifname, config);
      if (config.sysctls.length > 0) inNetns(netns, () => setSysctls(config.sysctls, values));
    },
    check: ({ sandbox: { netns } }) => [
      ...checkLink(netns, ifname, config),
      ...inNetns(netns, () => checkSysctls(config.sysctls)),
    ],
  };
}

function tuneLink(sandbox: Netns, ifname: string, config: TuningConfig): void {
  if (!asksForLink(config)) return;
  withRtnetlink(sandbox, (route) => {
    const link = findLink(route, ifname);
    if (!link) {
      throw new CniError(ERR_KERNEL_REFUSED, `Interface "${ifname}" vanished from ${sandbox.path} while it was tuned`);
    }
    setLink(route, link, {
      ...(config.isPromiscuous && { isPromiscuous: true }),
      ...(config.isAllMulticast && { isAllMulticast: true }),
      ...(config.txQueueLength !== undefined && { txQueueLength: config.txQueueLength }),
    });
  });
}

/**
 * The flags say what was set by an operator, not what others need them for: a packet capture neither hides that they are
 * not set nor, where nobody asked for them, makes them so.
 */
function checkLink(sandbox: Netns, ifname: string, config: TuningConfig): AttachmentDiagnosis[] {
  if (!asksForLink(config)) return [];
  const link = withRtnetlink(sandbox, (route) => findLink(route, ifname));
  // The mode has said so.
  if (!link) return [];
  const { isPromiscuous, isAllMulticast, txQueueLength } = config;
  const problems: AttachmentDiagnosis[] = [];
  if (isPromiscuous && !(link.flags & IFF_PROMISC))
    problems.push(diagnose('interface-not-promiscuous', { subject: ifname }));
  if (isAllMulticast && !(link.flags & IFF_ALLMULTI)) {
    problems.push(diagnose('interface-not-all-multicast', { subject: ifname }));
  }
  if (txQueueLength !== undefined && link.txQueueLength !== txQueueLength) {
    const parts = { subject: ifname, expected: txQueueLength, found: link.txQueueLength };
    problems.push(diagnose('interface-queue-length-differs', parts));
  }
  return problems;
}

function asksForLink({ isPromiscuous, isAllMulticast, txQueueLength }: TuningConfig): boolean {
  return isPromiscuous || isAllMulticast || txQueueLength !== undefined;
}

/** The settings that the container's other attachments have on record. */
interface Siblings {
  /** Oldest first. */
  readonly changes: readonly SysctlChange[];
  /** The values that they ask for, whether each was a change or not. */
  readonly wishes: readonly Pick<SysctlChange, 'key' | 'value'>[];
}

function decodeSiblings(listOthers: ListOthers = () => []): Siblings {
  const others = listOthers();
  const changes = others.flatMap(decodeObjects);
  return { changes, wishes: [...changes, ...others.flatMap(({ unchanged }) => decodeWishes(unchanged))] };
}

/** Leave out the parts of a record that cannot be read: a file that was damaged must not keep the rest from being removed. */
function decodeObjects({ sysctls }: FeatureObjects): SysctlChange[] {
  return decodeWishes(sysctls).flatMap(({ key, value, original }) =>
    typeof original === 'string' ? [{ key, value, original }] : [],
  );
}

function decodeWishes(sysctls: unknown): { key: string[]; value: string; original: unknown }[] {
  return (Array.isArray(sysctls) ? sysctls : []).flatMap((change: unknown) => {
    if (!isObject(change)) return [];
    const { key, value, original } = change;
    const isKey = Array.isArray(key) && key.every((part) => typeof part === 'string');
    return isKey && typeof value === 'string' ? [{ key, value, original }] : [];
  });
}
