// The `loopback` role: containerd runs a plugin of this name for every pod, beside the network's own.
//
// Unlike the stock plugin it never takes `lo` down and judges no address on it. A pod may share its namespace with
// others or with the host: the stock DEL takes the host's `lo` down, its ADD refuses a host whose `lo` has an address
// (kubernetes/kubernetes#100648). A namespace of its own goes with the pod, and its `lo` with it.

import { familyOf } from '../address/ip.ts';
import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { listAddresses } from '../kernel/rtnetlink/address.ts';
import { findLink, type Link, setLink } from '../kernel/rtnetlink/link/link.ts';
import { withRtnetlink } from '../kernel/rtnetlink/socket.ts';
import { CniError, ERR_CHECK_FAILED, ERR_KERNEL_REFUSED } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import type { Result } from '../protocol/result/result.ts';
import { encodeResult } from '../protocol/result/result-codec.ts';
import { closeSandbox, openSandbox } from '../verbs/sandbox.ts';

/** Raise `lo`. Returns prevResult as text if there is one, else `lo` with its first address of each family. */
export function addLoopback(request: AttachmentRequest): string {
  const previous = request.config.prevResult();
  const result = withLoopback(request, (route, link): Result => {
    if (!link.isUp) setLink(route, link, { isUp: true });
    if (previous) return previous;
    const addresses = listAddresses(route, link.index).map(({ cidr }) => cidr);
    const first = [
      addresses.find((cidr) => familyOf(cidr) === 4),
      addresses.find((cidr) => familyOf(cidr) !== 4),
    ].filter((cidr) => cidr !== undefined);
    return {
      interfaces: [{ name: link.name, mac: link.mac, sandbox: request.netns }],
      ips: first.map((address) => ({ address, interface: 0 })),
      routes: [],
      dns: {},
    };
  });
  return encodeResult(result, request.config.cniVersion);
}

/** Throws CniError 101 when `lo` is down. */
export function checkLoopback(request: AttachmentRequest): void {
  withLoopback(request, (_, link) => {
    if (!link.isUp) throw new CniError(ERR_CHECK_FAILED, `Loopback interface of ${request.netns} is down`);
  });
}

function withLoopback<Value>(request: AttachmentRequest, work: (route: NetlinkConnection, link: Link) => Value): Value {
  // The namespace may well be our own: a pod in the host's network. Raising `lo` harms nobody.
  const sandbox = openSandbox({ ...request, netnsOverride: true });
  try {
    return withRtnetlink(sandbox.netns, (route) => {
      const link = findLink(route, 'lo');
      if (!link) throw new CniError(ERR_KERNEL_REFUSED, `There is no loopback interface in ${request.netns}`);
      return work(route, link);
    });
  } finally {
    closeSandbox(sandbox);
  }
}
