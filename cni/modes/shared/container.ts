// Container mode: the container runs in another one's network namespace. They share addresses, ports and localhost.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { identityOf, type Netns } from '../../kernel/netns.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG, ERR_TRY_AGAIN_LATER } from '../../protocol/errors.ts';
import type { Mode, ModeRequest } from '../mode.ts';
import type { Sandbox } from '../../attachment/attachment.ts';
import { describeShared, publishesPorts, refuseOwnSettings, shareNamespace, unshareNamespace } from './sharing.ts';
import { DUMMY_IP } from './shared-address.ts';
import { parseTarget, type Target } from './target.ts';
import { TARGET_TABLE } from './target-keys.ts';

export const containerMode: Mode = {
  name: 'container',
  hasOwnInterface: false,
  hasBridge: false,
  sharesNamespace: true,
  keys: TARGET_TABLE,

  plan(request: ModeRequest) {
    refuseOwnSettings(request, 'container');
    if (publishesPorts(request)) {
      throw new CniError(
        ERR_INVALID_NETWORK_CONFIG,
        'Conflicting options: port publishing and the container type network mode (publish the ports of the target instead)',
      );
    }
    const target = parseTarget(request);
    return {
      objects: () => withNamespace(target, (shared) => ({ sharedNetns: identityOf(shared), target: target.text })),
      attach: (attachment) =>
        withNamespace(target, (shared) => {
          if (identityOf(shared) !== attachment.objects.sharedNetns) {
            throw new CniError(ERR_TRY_AGAIN_LATER, `Target "${target.text}" has just got another network namespace`);
          }
          shareNamespace(attachment, shared);
          return describeShared(shared, DUMMY_IP);
        }),
      status: () => undefined,
      check: ({ sandbox }) => checkTarget(target, sandbox),
      hasLostTarget: ({ sharedNetns }) => identityOfTarget(target) !== sharedNetns,
    };
  },

  links: () => [],

  mayHaveMounted: (_identity, isOnRecord) => isOnRecord(),

  detach: (_host, { netnsPath, objects }) => unshareNamespace(netnsPath, objects.sharedNetns),
};

function withNamespace<Value>(target: Target, work: (shared: Netns) => Value): Value {
  const shared = target.open();
  try {
    return work(shared);
  } finally {
    shared.close();
  }
}

/** A target that went away leaves its sharers a namespace with `lo` only, as in Docker: CHECK is where that is noticed. */
function checkTarget(target: Target, sandbox: Sandbox): AttachmentDiagnosis[] {
  const identity = identityOfTarget(target);
  if (identity === undefined) return [diagnose('target-gone', { subject: target.text })];
  return identityOf(sandbox.netns) === identity
    ? []
    : [diagnose('target-namespace-unseen', { subject: sandbox.path, expected: target.text })];
}

/** Undefined while the target is not there. */
function identityOfTarget(target: Target): string | undefined {
  try {
    return withNamespace(target, identityOf);
  } catch (error) {
    if (error instanceof CniError && error.code === ERR_TRY_AGAIN_LATER) return undefined;
    throw error;
  }
}
