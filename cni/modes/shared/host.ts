// Host mode: the container runs in the host's network namespace, the one podlink itself is started in. /proc/1's may
// be another, or unreadable.

import { diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { identityOf, openOwnNetns } from '../../kernel/netns.ts';
import type { Mode, ModeRequest } from '../mode.ts';
import { describeShared, publishesPorts, refuseOwnSettings, shareNamespace, unshareNamespace } from './sharing.ts';
import { LOOPBACK_IP } from './shared-address.ts';

export const hostMode: Mode = {
  name: 'host',
  hasOwnInterface: false,
  hasBridge: false,
  sharesNamespace: true,
  sharesHost: true,

  plan(request: ModeRequest) {
    refuseOwnSettings(request, 'host');
    const own = openOwnNetns();
    own.close();
    return {
      objects: () => ({ sharedNetns: identityOf(own), target: 'host' }),
      attach(attachment) {
        // Docker's words, which people know what to do with.
        if (publishesPorts(request)) attachment.host.warn('Published ports are discarded when using host network mode');
        const shared = openOwnNetns();
        try {
          shareNamespace(attachment, shared);
          return describeShared(shared, LOOPBACK_IP);
        } finally {
          shared.close();
        }
      },
      status: () => undefined,
      check: ({ sandbox }) =>
        identityOf(sandbox.netns) === identityOf(own)
          ? []
          : [diagnose('host-namespace-unseen', { subject: sandbox.path })],
    };
  },

  links: () => [],

  mayHaveMounted(identity) {
    const own = openOwnNetns();
    own.close();
    return identity === identityOf(own);
  },

  detach: (_host, { netnsPath, objects }) => unshareNamespace(netnsPath, objects.sharedNetns),
};
