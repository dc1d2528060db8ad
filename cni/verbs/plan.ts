// The plan of a request: its mode, its IPAM and its features, each of which has accepted the configuration.

import { DEFAULT_MODE } from '../modes/mode-registry.ts';
import { configuredMode, selectMode } from '../modes/mode-selection.ts';
import type { Mode, ModePlan, ModeRequest, Peer } from '../modes/mode.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { FieldError } from '../protocol/fields.ts';
import type { Dns } from '../protocol/result/result.ts';
import { listAllRecords } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { parseLogPath } from './log/call-log.ts';
import type { Context } from './context.ts';
import { type PlannedFeature, planFeatures } from './features.ts';
import { findIpam, type Ipam } from './ipam/ipam.ts';
import type { PlanSource } from './plan-source.ts';
import { isAsRecorded } from './sandbox.ts';

/** NAME_MAX (include/uapi/linux/limits.h). A network's name is ASCII. */
const MAX_NAME_BYTES = 255;

export interface Plan {
  readonly mode: Mode;
  readonly steps: ModePlan;
  /** Undefined for an interface without addresses, and for a mode without an interface of its own. */
  readonly ipam: Ipam | undefined;
  readonly features: readonly PlannedFeature[];
  /** The configuration's own, in place of IPAM's, and the runtime's, each list in place of one of these. */
  readonly dns: { readonly configured: Dns | undefined; readonly requested: Dns | undefined };
}

/** Accept or refuse a request. Changes nothing. Throws FieldError or CniError. */
export function planRequest(source: PlanSource, { runDir, parts }: Pick<Context, 'runDir' | 'parts'>): Plan {
  const { key, config, cniArgs, warn } = source;
  if (config.name.length > MAX_NAME_BYTES) {
    throw new FieldError('name', `must be of at most ${MAX_NAME_BYTES} characters, since it names a directory`);
  }
  if (config.type === '' && config.fields.has('plugins')) {
    throw new FieldError(
      'plugins',
      'must not be here: a plugin gets one element of the list, with "name" and "cniVersion"',
    );
  }
  parseLogPath(config.fields);
  const selected = selectMode(config, cniArgs);
  const mode = parts.findMode(selected.mode) ?? DEFAULT_MODE;
  // A configuration may serve several modes: what is there for one of them is not for the others.
  const ipam = mode.hasOwnInterface ? findIpam(source) : undefined;
  const request: ModeRequest = {
    key,
    config,
    cniArgs,
    hasIpam: ipam !== undefined,
    selected,
    findPeers: (which) =>
      listAllRecords(runDir)
        // One that is being added has no addresses yet: who shared it now would report none.
        .filter(({ state }) => state === 'complete')
        .map(peerOf)
        .filter(which),
  };
  const steps = mode.plan(request);
  const features = planFeatures(parts.features, {
    key,
    config,
    cniArgs,
    mode: mode.name,
    isConfigured: mode.name === configuredMode(config.fields).name,
    hasOwnInterface: mode.hasOwnInterface,
    hasBridge: mode.hasBridge,
    sharesNamespace: mode.sharesNamespace,
    warn,
  });
  return { mode, steps, ipam, features, dns: { configured: config.dns, requested: config.requestedDns } };
}

function peerOf(record: AttachmentRecord): Peer {
  const args = parseCniArgs(record.cniArgs);
  return {
    containerId: record.containerId,
    podNamespace: args.get('K8S_POD_NAMESPACE') ?? '',
    podName: args.get('K8S_POD_NAME') ?? '',
    netnsPath: record.netns,
    isItsNetns: (netns) => isAsRecorded(netns, record),
    isSharer: record.objects.sharedNetns !== undefined,
    created: record.created,
  };
}
