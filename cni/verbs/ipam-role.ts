// The `host-local` and `static` roles: our IPAM as a plugin of its own, for other plugins to delegate to.

import type { IpamDriver } from '../../ipam/driver.ts';
import type { AttachmentKey } from '../modes/mode.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { Fields } from '../protocol/fields.ts';
import type { AttachmentRequest, NetworkRequest } from '../protocol/request.ts';
import { keyOf } from './attachment-key.ts';
import { ipamRequest } from './ipam.ts';
import type { Role } from './roles.ts';

/** A role that hands out addresses and makes no interface. */
export function ipamRole(driver: IpamDriver): Role {
  const asked = (request: AttachmentRequest) => questionOf(request, keyOf(request), request.args);
  const network = (request: NetworkRequest) =>
    questionOf(request, { network: request.config.name, containerId: '', ifname: '' }, new Map());
  return {
    add: (request) => ({ interfaces: [], ...driver.prepare(asked(request)).allocate() }),
    del: (request) => driver.release(asked(request)),
    check(request) {
      const previous = request.config.prevResult();
      driver.check(asked(request), previous?.ips.map(({ address }) => address) ?? []);
    },
    gc(request) {
      const valid = request.config.validAttachments();
      if (valid) driver.collect(network(request), valid);
    },
    status: (request) => driver.status(network(request)),
  };
}

function questionOf(
  request: AttachmentRequest | NetworkRequest,
  key: AttachmentKey,
  cniArgs: ReadonlyMap<string, string>,
): ReturnType<typeof ipamRequest> {
  return ipamRequest({ key, config: request.config, cniArgs }, ipamSection(request.config.fields));
}

function ipamSection(fields: Fields): Fields {
  const section = fields.object('ipam');
  if (!section) throw new CniError(ERR_INVALID_NETWORK_CONFIG, "IPAM config missing 'ipam' key");
  return section;
}
