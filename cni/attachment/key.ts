// Which attachment a request is about.

import type { AttachmentKey } from '../protocol/config.ts';
import type { AttachmentRequest } from '../protocol/request.ts';

export function keyOf(request: AttachmentRequest): AttachmentKey {
  return { network: request.config.name, containerId: request.containerId, ifname: request.ifname };
}

/** Name an attachment in a message to the operator. */
export function describeKey({ network, containerId, ifname }: AttachmentKey): string {
  return `interface "${ifname}" of container "${containerId}" in network "${network}"`;
}
