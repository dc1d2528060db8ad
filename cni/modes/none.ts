// None mode: a namespace of its own with nothing but loopback.
//
// It is reported with an address that nobody has (shared-address.ts), which its lo takes in without showing it: the
// runtime writes it into /etc/hosts as the address of the container's own name.

import { diagnose } from '../diagnosis/attachment-diagnosis.ts';
import { isErrno } from '../kernel/errno.ts';
import { RT_SCOPE_HOST } from '../kernel/rtnetlink/address.ts';
import { findLink, setLink } from '../kernel/rtnetlink/link/link.ts';
import { addRoute, RT_TABLE_LOCAL, RTN_LOCAL } from '../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../kernel/rtnetlink/socket.ts';
import type { Mode, ModeRequest } from './mode.ts';
import type { Sandbox } from '../attachment/attachment.ts';
import { publishesPorts, refuseOwnSettings } from './shared/sharing.ts';
import { DUMMY_IP } from './shared/shared-address.ts';

export const noneMode: Mode = {
  name: 'none',
  hasOwnInterface: false,
  hasBridge: false,
  sharesNamespace: false,
  dockerDriver: 'null',

  plan(request: ModeRequest) {
    refuseOwnSettings(request, 'none');
    return {
      objects: () => ({}),
      attach({ host, sandbox }) {
        if (publishesPorts(request)) host.warn('Published ports are discarded when using none network mode');
        raiseLoopback(sandbox);
        return { interfaces: [], ips: [DUMMY_IP], routes: [], dns: {} };
      },
      status: () => undefined,
      check: ({ sandbox }) =>
        withRtnetlink(sandbox.netns, (route) =>
          findLink(route, 'lo')?.isUp ? [] : [diagnose('loopback-down', { subject: 'lo', of: sandbox.path })],
        ),
      repair({ sandbox }) {
        raiseLoopback(sandbox);
        return undefined;
      },
    };
  },

  links: () => [],

  detach: () => undefined,
};

function raiseLoopback(sandbox: Sandbox): void {
  withRtnetlink(sandbox.netns, (route) => {
    const lo = findLink(route, 'lo');
    if (!lo) return;
    if (!lo.isUp) setLink(route, lo, { isUp: true });
    try {
      const linkIndex = lo.index;
      const type = RTN_LOCAL;
      addRoute(route, { dst: DUMMY_IP.address, linkIndex, type, table: RT_TABLE_LOCAL, scope: RT_SCOPE_HOST });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  });
}
