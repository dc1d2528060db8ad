// The roles `host-local`, `static` and `podlink-etcd`: podlink's IPAM as a plugin of its own, for other plugins to delegate to.

import type { IpamDriver } from '../../ipam/driver.ts';
import { refuseInexpressibleRoutes } from '../../ipam/range/route.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { Fields } from '../protocol/fields.ts';
import { type AttachmentRequest, type NetworkRequest, refuseMalformedArgs } from '../protocol/request.ts';
import { ipsOf } from '../protocol/result/result.ts';
import { encodeResult } from '../protocol/result/result-codec.ts';
import { keyOf } from '../attachment/key.ts';
import type { Context } from '../verbs/context.ts';
import { ipamRequest } from '../verbs/ipam/ipam.ts';
import type { Role } from './role.ts';
import { asUnavailable } from '../verbs/status.ts';

/** A role that hands out addresses and makes no interface. */
export function ipamRole(driver: IpamDriver): Role {
  const asked = (request: AttachmentRequest, context: Context) =>
    questionOf(request, keyOf(request), request.args, context);
  const network = (request: NetworkRequest, context: Context) =>
    questionOf(request, { network: request.config.name, containerId: '', ifname: '' }, new Map(), context);
  return {
    async add(request, context) {
      refuseMalformedArgs(request);
      refuseInexpressibleRoutes(ipamSection(request.config.fields), request.config.cniVersion);
      const addressing = await driver.prepare(asked(request, context)).allocate();
      return encodeResult({ interfaces: [], ...addressing }, request.config.cniVersion);
    },
    del: (request, context) => driver.release(asked(request, context)),
    async check(request, context) {
      const previous = request.config.prevResult();
      await driver.check(asked(request, context), previous ? ipsOf(previous, request.ifname) : []);
    },
    async gc(request, context) {
      const valid = request.config.validAttachments();
      if (valid) await driver.collect(network(request, context), valid);
    },
    async status(request, context) {
      const question = network(request, context);
      await asUnavailable(request.config.name, () => driver.status(question));
    },
  };
}

function questionOf(
  request: AttachmentRequest | NetworkRequest,
  key: AttachmentKey,
  cniArgs: ReadonlyMap<string, string>,
  context: Context,
): ReturnType<typeof ipamRequest> {
  const netns = 'netns' in request ? { netns: request.netns } : {};
  return ipamRequest(
    { key, config: request.config, cniArgs, warn: context.warn, ...netns },
    ipamSection(request.config.fields),
  );
}

function ipamSection(fields: Fields): Fields {
  const section = fields.object('ipam');
  if (!section) throw new CniError(ERR_INVALID_NETWORK_CONFIG, "IPAM config missing 'ipam' key");
  return section;
}
