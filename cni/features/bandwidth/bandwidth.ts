// Bandwidth limits: what comes to a container and what it sends passes a queue that is emptied at a rate.
//
// What comes to it, the host sends by its end of the veth pair, whose root qdisc holds the limit. What it sends, the
// host receives there, and received packets do not wait: they are redirected to an ifb, one for each attachment, whose
// root qdisc holds the limit. The queues go with the veth pair; the ifb must be deleted.

import type { AttachmentDiagnosis } from '../../diagnosis/attachment-diagnosis.ts';
import { isErrno } from '../../kernel/errno.ts';
import { quietIfb } from '../../kernel/rtnetlink/link/ifb.ts';
import type { Operation } from '../../kernel/netlink/connection.ts';
import { findLink, linkChange } from '../../kernel/rtnetlink/link/link.ts';
import { nanosecondsPerTick } from '../../kernel/rtnetlink/traffic/packet-clock.ts';
import { CniError, ERR_KERNEL_REFUSED, ERR_UNSUPPORTED_FIELD } from '../../protocol/errors.ts';
import { checkEgress, checkRoot } from './bandwidth-check.ts';
import { type BandwidthConfig, type BandwidthLimit, parseBandwidth } from './bandwidth-config.ts';
import { deleteIfb, makeIfb } from './bandwidth-ifb.ts';
import { ifbAlias, ifbName } from '../../attachment/marks.ts';
import { NO_SUBNETS, redirectOperations, rootOperations } from './bandwidth-queues.ts';
import { completeQueues, type WantedQueues } from './bandwidth-repair.ts';
import { BANDWIDTH_TABLE } from './bandwidth-keys.ts';
import { type BandwidthShape, shapeOf } from './bandwidth-shape.ts';
import type { AttachedInterface, ConnectedAttachment } from '../../attachment/attachment.ts';
import type { Feature, FeatureHost } from '../feature.ts';

export const bandwidthFeature: Feature = {
  name: 'bandwidth',
  keys: BANDWIDTH_TABLE,
  rulesets: [],

  plan({ config, hasOwnInterface, key, mode, warn }) {
    const limits = parseBandwidth(config);
    if (!limits) return undefined;
    if (!hasOwnInterface) {
      // A configuration may serve several modes; but what the pod itself has asked for is not given to it.
      if (config.runtimeConfig.object('bandwidth')) {
        warn(`the bandwidth limit is discarded: in mode "${mode}" the container has no interface of its own`);
      }
      return undefined;
    }
    return {
      objects: (attachment) => {
        hostInterfaceOf(attachment, mode);
        return limits.egress ? { ifb: ifbName(key) } : {};
      },
      apply: (attachment) => limit(attachment, hostInterfaceOf(attachment, mode), limits),
      check: (attachment) => checkLimits(attachment, hostInterfaceOf(attachment, mode), limits),
    };
  },

  links({ key, objects }) {
    if (objects === undefined) return [{ name: ifbName(key), kind: 'ifb', alias: ifbAlias(key) }];
    return typeof objects.ifb === 'string' ? [{ name: objects.ifb, kind: 'ifb' }] : [];
  },

  remove(host, { key, objects }) {
    if (objects === undefined) deleteIfb(host.route, ifbName(key), ifbAlias(key));
    else if (typeof objects.ifb === 'string') deleteIfb(host.route, objects.ifb);
  },
};

function limit({ host, key }: ConnectedAttachment, hostInterface: string, config: BandwidthConfig): void {
  const hostEnd = findLink(host.route, hostInterface);
  if (!hostEnd) {
    throw new CniError(ERR_KERNEL_REFUSED, `Cannot limit the bandwidth of "${hostInterface}": the interface is gone`);
  }
  const { ingress, egress } = config;
  const wanted: WantedQueues = {
    key,
    hostEnd,
    config,
    // Once, since each may have something to say about its burst.
    ingress: ingress && shapeOf(ingress, hostEnd.mtu, host.warn),
    egress: egress && shapeOf(egress, hostEnd.mtu, host.warn),
  };
  // Others, or an earlier call, may have been here: to add a class to somebody's htb would change it.
  if (hostEnd.qdisc !== undefined && hostEnd.qdisc !== 'noqueue') {
    completeQueues(host.route, wanted);
    return;
  }
  try {
    host.route.executeAll(queueOperations(host, wanted));
  } catch (error) {
    // A kernel or an ifb without IPv6, or something stands where the queues belong: what an earlier call or others made.
    if (!isErrno(error, 'EEXIST', 'EAFNOSUPPORT')) throw error;
    completeQueues(host.route, wanted);
  }
}

/** Everything, on a link that nobody has given queues before. */
function queueOperations({ route }: FeatureHost, wanted: WantedQueues): Operation[] {
  const { key, hostEnd, config, ingress, egress } = wanted;
  const operations = ingress ? rootOperations(hostEnd, ingress, config, nanosecondsPerTick) : [];
  if (egress) {
    const ifb = makeIfb(route, key, hostEnd.mtu);
    operations.push(
      quietIfb(ifb, ifbAlias(key), true),
      // Up, and with its limit, before the first packet is redirected to it.
      linkChange(ifb, { isUp: true }),
      ...rootOperations(ifb, egress, NO_SUBNETS, nanosecondsPerTick),
      ...redirectOperations(hostEnd, config, ifb.index),
    );
  }
  return operations;
}

function checkLimits(
  { host, key }: ConnectedAttachment,
  hostInterface: string,
  limits: BandwidthConfig,
): AttachmentDiagnosis[] {
  const { route } = host;
  const { ingress, egress } = limits;
  const hostEnd = findLink(route, hostInterface);
  if (!hostEnd) return []; // which the mode says
  // Warned of at ADD.
  const shape = (limit: BandwidthLimit): BandwidthShape => shapeOf(limit, hostEnd.mtu, () => undefined);
  return [
    ...(ingress ? checkRoot(route, hostEnd, shape(ingress), limits) : []),
    ...(egress ? checkEgress(route, { link: hostEnd, ifbName: ifbName(key) }, shape(egress), limits) : []),
  ];
}

/** Throws CniError 2 in a mode whose interfaces have no other end on the host. */
function hostInterfaceOf({ hostInterface }: AttachedInterface, mode: string): string {
  if (hostInterface !== undefined) return hostInterface;
  throw new CniError(ERR_UNSUPPORTED_FIELD, `Unsupported in mode "${mode}": bandwidth limits, which need a veth pair`);
}
