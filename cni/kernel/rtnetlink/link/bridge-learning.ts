// What a bridge learns MAC addresses from (enum br_boolopt_id in include/uapi/linux/if_bridge.h, v6.12): beside all else
// from frames to 01:80:c2:00:00:0x, which no bridge forwards (IEEE 802.1D: LLDP and the like) and which do not all pass
// netfilter (br_handle_frame() in net/bridge/br_input.c). Linux 5.0 can do without.
//
// IFLA_BR_MULTI_BOOLOPT is struct br_boolopt_multi, host order: optval u32, optmask u32.

import type { NetlinkConnection } from '../../netlink/connection.ts';
import { ByteReader } from '../../netlink/reader.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import { encodeLink, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, type Link, RTM_NEWLINK } from './link.ts';

const IFLA_BR_MULTI_BOOLOPT = 46;
/** 1 << BR_BOOLOPT_NO_LL_LEARN. */
const NO_LL_LEARN = 1 << 0;

/** Have a bridge learn from link-local frames, as it does by itself, or not. Throws NetlinkError ENODEV when it is gone. */
export function setLinkLocalLearning(
  route: NetlinkConnection,
  bridge: { index: number; name: string },
  learns: boolean,
): void {
  const payload = encodeLink(new MessageWriter(), bridge.index, {})
    .nested(IFLA_LINKINFO, (info) =>
      info.attributeString(IFLA_INFO_KIND, 'bridge').nested(IFLA_INFO_DATA, (driver) =>
        driver.attributeBytes(
          IFLA_BR_MULTI_BOOLOPT,
          new MessageWriter()
            .u32(learns ? 0 : NO_LL_LEARN)
            .u32(NO_LL_LEARN)
            .finish(),
        ),
      ),
    )
    .finish();
  route.execute({ operation: `change bridge "${bridge.name}"`, type: RTM_NEWLINK, flags: 0, payload });
}

/** Whether a bridge learns from link-local frames: so it does on kernels that know no other way. */
export function hasLinkLocalLearning(bridge: Link): boolean {
  const options = bridge.driverAttributes?.bytes(IFLA_BR_MULTI_BOOLOPT);
  return options === undefined || (new ByteReader(options).u32() & NO_LL_LEARN) === 0;
}
