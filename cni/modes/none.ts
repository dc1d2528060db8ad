// None mode: a namespace of its own with nothing but loopback.

import { findLink, setLink } from '../kernel/rtnetlink/link.ts';
import { withRtnetlink } from '../kernel/rtnetlink/socket.ts';
import type { Mode, ModeRequest, Sandbox } from './mode.ts';
import { hasPortMappings, LOOPBACK_IP, refuseOwnSettings } from './sharing.ts';

export const noneMode: Mode = {
  name: 'none',
  hasOwnInterface: false,

  plan(request: ModeRequest) {
    refuseOwnSettings(request, 'none');
    return {
      objects: () => ({}),
      attach(host, sandbox, _addressing, _undo) {
        if (hasPortMappings(request)) host.warn('Published ports are discarded when using none network mode');
        raiseLoopback(sandbox);
        return { interfaces: [], ips: [LOOPBACK_IP], routes: [], dns: {} };
      },
      status: () => undefined,
      check: (_host, sandbox) =>
        withRtnetlink(sandbox.netns, (route) => (findLink(route, 'lo')?.isUp ? [] : [`lo of ${sandbox.path} is down`])),
      repair: (_host, sandbox) => raiseLoopback(sandbox),
    };
  },

  links: () => [],

  detach: () => undefined,
};

function raiseLoopback(sandbox: Sandbox): void {
  withRtnetlink(sandbox.netns, (route) => {
    const lo = findLink(route, 'lo');
    if (lo && !lo.isUp) setLink(route, lo, { isUp: true });
  });
}
