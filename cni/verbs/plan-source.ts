// The parts that a plan is made from: of a runtime's request, or of a record, when no runtime asks.

import type { AttachmentRequestFacts } from '../attachment/attachment.ts';
import { keyOf } from '../attachment/key.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { networkConfigOf } from '../protocol/config.ts';
import type { AttachmentRequest, Environment, NetworkRequest } from '../protocol/request.ts';
import type { Context } from './context.ts';

export interface PlanSource extends AttachmentRequestFacts {
  /** CNI_NETNS; undefined where the question is about the network alone. */
  readonly netns?: string;
  /** Directories where foreign IPAM plugins are. */
  readonly path: readonly string[];
  /** For foreign IPAM plugins. */
  readonly env: Environment;
  /** Tell the operator what is no error. */
  readonly warn: (message: string) => void;
  /** Give the configuration as text, which a foreign IPAM plugin gets unchanged. */
  readonly input: () => string;
}

export function sourceOfRequest(request: AttachmentRequest, context: Context): PlanSource {
  const { config, args, netns, path, stdin } = request;
  return {
    key: keyOf(request),
    config,
    cniArgs: args,
    netns,
    path,
    env: context.env,
    warn: context.warn,
    input: () => stdin,
  };
}

/** STATUS and GC have no attachment and no CNI_ARGS. `owner`: stands in for the attachment. */
export function sourceOfNetwork(
  { config, path, stdin }: NetworkRequest,
  context: Context,
  owner: { readonly containerId: string; readonly ifname: string },
): PlanSource {
  return {
    key: { network: config.name, ...owner },
    config,
    cniArgs: new Map(),
    path,
    env: context.env,
    warn: context.warn,
    input: () => stdin,
  };
}

/** Throws CniError 7 for a configuration that is none. `path`: the runtime's CNI_PATH of today. */
export function sourceOfRecord(record: AttachmentRecord, context: Context, path: readonly string[]): PlanSource {
  const { network, containerId, ifname, netns, cniArgs } = record;
  return {
    key: { network, containerId, ifname },
    config: networkConfigOf(record.config),
    cniArgs: parseCniArgs(cniArgs),
    netns,
    path,
    // A foreign IPAM plugin is told of the attachment by the environment.
    env: {
      ...context.env,
      CNI_CONTAINERID: containerId,
      CNI_IFNAME: ifname,
      CNI_NETNS: netns,
      CNI_ARGS: cniArgs,
    },
    warn: context.warn,
    input: () => JSON.stringify(record.config),
  };
}
