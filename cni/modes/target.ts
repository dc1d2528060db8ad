// Whose namespace container mode shares: `infra`, `pod:NAMESPACE/NAME`, `container:ID` or `netns:/path`.

import { isErrno } from '../kernel/errno.ts';
import { identityOf, type Netns, NotANamespaceError, openNetns, openOwnNetns } from '../kernel/netns.ts';
import {
  CniError,
  ERR_INVALID_ENVIRONMENT_VARIABLES,
  ERR_INVALID_NETWORK_CONFIG,
  ERR_TRY_AGAIN_LATER,
} from '../protocol/errors.ts';
import { describeValue, FieldError } from '../protocol/fields.ts';
import { matchesGlob } from './mode-selection.ts';
import type { ModeRequest, Peer } from './mode.ts';

export interface Target {
  /** As the operator or the pod spelled it. */
  readonly text: string;
  /**
   * Open the target's namespace; the caller closes it.
   *
   * Throws CniError 11 when the target is not there yet, or not any more: the kubelet tries again.
   */
  open(): Netns;
}

/**
 * Read the target of a request. Throws FieldError 7 when the operator's is malformed; CniError 4 when the pod's is, or
 * when it names what a pod may not choose: a path the operator does not permit, or another namespace's pod.
 */
export function parseTarget(request: ModeRequest): Target {
  const text = request.selected.target ?? 'infra';
  const [kind = '', value = ''] = splitOnce(text, ':');
  if (text === 'infra') return { text, open: () => openPeer(request, text, infraPeer(request)) };
  if (kind === 'container' && value !== '') {
    if (value === request.key.containerId) throw malformed(request, 'must be another container, is this one');
    return { text, open: () => openPeer(request, text, (peer) => peer.containerId === value) };
  }
  // Podman names no Kubernetes namespace: there the target is `pod:/NAME`.
  if (kind === 'pod' && /^[^/]*\/[^/]+$/.test(value)) {
    const [podNamespace, podName] = splitOnce(value, '/');
    return {
      text,
      open: () => openPeer(request, text, (peer) => peer.podNamespace === podNamespace && peer.podName === podName),
    };
  }
  if (kind === 'netns' && value.startsWith('/')) {
    refuseForeignPath(request, value);
    return { text, open: () => openPath(request, value) };
  }
  throw malformed(
    request,
    `must be "infra", "pod:NAMESPACE/NAME", "container:ID" or "netns:/path", is ${describeValue(text)}`,
  );
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function malformed(request: ModeRequest, problem: string): Error {
  return request.selected.isPodsChoice
    ? new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid target asked for by the pod: ${problem}`)
    : new FieldError('target', problem);
}

function tryAgain(message: string): CniError {
  return new CniError(ERR_TRY_AGAIN_LATER, message);
}

/** The container that runs the pod's infrastructure, when that is not the one being attached. */
function infraPeer(request: ModeRequest): (peer: Peer) => boolean {
  const id = request.cniArgs.get('K8S_POD_INFRA_CONTAINER_ID');
  if (!id) {
    throw new CniError(
      ERR_INVALID_ENVIRONMENT_VARIABLES,
      'Cannot find target "infra": the runtime gave no K8S_POD_INFRA_CONTAINER_ID in CNI_ARGS',
    );
  }
  if (id === request.key.containerId) {
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      'Invalid "target": "infra" is this container itself, which has no other network to share (name a pod: or container: instead)',
    );
  }
  return (peer) => peer.containerId === id;
}

function openPeer(request: ModeRequest, text: string, matches: (peer: Peer) => boolean): Netns {
  // A pod that was started anew may have its old sandbox on record still: the youngest is the one that runs.
  const peers = request
    .findPeers((peer) => peer.containerId !== request.key.containerId && matches(peer))
    .sort((a, b) => (a.created < b.created ? 1 : -1));
  for (const peer of peers) {
    refuseForeignPod(request, peer, text);
    const netns = openIfSame(peer);
    if (netns) return refuseHost(request, netns);
  }
  throw tryAgain(
    `Target "${text}" of container "${request.key.containerId}" is not there (yet): ${peers.length === 0 ? 'no such attachment on record on this node' : 'its network namespace is gone'}`,
  );
}

/** The peer's namespace, if its path still names the one on record. */
function openIfSame(peer: Peer): Netns | undefined {
  let netns: Netns;
  try {
    netns = openNetns(peer.netnsPath);
  } catch (error) {
    if (error instanceof NotANamespaceError || isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  if (identityOf(netns) === peer.identity) return netns;
  netns.close();
  return undefined;
}

function openPath(request: ModeRequest, path: string): Netns {
  try {
    return refuseHost(request, openNetns(path));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw tryAgain(`Target "netns:${path}" is not there (yet)`);
    if (error instanceof NotANamespaceError) throw malformed(request, error.message);
    throw error;
  }
}

/** A pod may name a path only where the operator says so. */
function refuseForeignPath(request: ModeRequest, path: string): void {
  const permitted = request.config.fields.strings('targetPaths') ?? [];
  const isPlain = !path.split('/').includes('..');
  if (!request.selected.isPodsChoice || (isPlain && permitted.some((glob) => matchesGlob(path, glob)))) return;
  throw new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid target asked for by the pod: network "${request.config.name}" does not permit "${path}" (its "targetPaths" is ${describeValue(permitted)})`,
  );
}

/** A pod may choose among the pods of its own Kubernetes namespace: another's is another tenant's. */
function refuseForeignPod(request: ModeRequest, peer: Peer, text: string): void {
  const own = request.cniArgs.get('K8S_POD_NAMESPACE') ?? '';
  if (!request.selected.isPodsChoice || peer.podNamespace === own) return;
  throw new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid target asked for by the pod: "${text}" is in another Kubernetes namespace than "${own}" (the operator can allow it with an entry of "overrides")`,
  );
}

/** A target that is itself in the host's network would let a pod in there by the back door. */
function refuseHost(request: ModeRequest, netns: Netns): Netns {
  if (!request.selected.isPodsChoice || request.selected.allowed.includes('host')) return netns;
  const own = openOwnNetns();
  own.close();
  if (identityOf(own) !== identityOf(netns)) return netns;
  netns.close();
  throw new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid target asked for by the pod: it is in the host's network, and network "${request.config.name}" does not let a pod choose mode "host"`,
  );
}
