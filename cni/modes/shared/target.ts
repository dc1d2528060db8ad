// Whose namespace container mode shares: `infra`, `pod:NAMESPACE/NAME`, `container:ID` or `netns:/path`.
//
// A pod that chooses for itself gets into namespaces of its own Kubernetes namespace alone, by whatever name it asks: the
// pods of another one are another tenant's. Neither may it learn from an error whether such a pod is on this node: what
// can be refused by its text is refused before anything is looked at (error 4), and a container ID or a path that leads
// to another tenant is answered as one that leads nowhere (error 11).

import { lstatSync, readlinkSync, realpathSync, statfsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isErrno } from '../../kernel/errno.ts';
import { isOwnNetns, type Netns, NotANamespaceError, openNetns } from '../../kernel/netns.ts';
import {
  CniError,
  ERR_INVALID_ENVIRONMENT_VARIABLES,
  ERR_INVALID_NETWORK_CONFIG,
  ERR_TRY_AGAIN_LATER,
} from '../../protocol/errors.ts';
import { describeValue, FieldError } from '../../protocol/fields.ts';
import { readKey } from '../../protocol/schema.ts';
import { matchesGlob } from '../glob.ts';
import type { ModeRequest, Peer } from '../mode.ts';
import { TARGET_KEYS } from './target-keys.ts';

/** include/uapi/linux/magic.h */
const PROC_SUPER_MAGIC = 0x9fa0;
/** MAXSYMLINKS of the kernel. */
const MAX_LINKS = 40;

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
    refuseForeignPod(request, podNamespace, text);
    return {
      text,
      open: () => openPeer(request, text, (peer) => peer.podNamespace === podNamespace && peer.podName === podName),
    };
  }
  if (kind === 'netns' && value.startsWith('/')) {
    refuseForeignPath(request, value);
    return { text, open: () => openPath(request, text, value) };
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

const GONE = 'its network namespace is gone';

function openPeer(request: ModeRequest, text: string, matches: (peer: Peer) => boolean): Netns {
  const peers = request.findPeers(() => true);
  // A pod that was started anew may have its old sandbox on record still: the youngest is the one that runs.
  const candidates = peers
    .filter((peer) => peer.containerId !== request.key.containerId && matches(peer) && mayChoose(request, peer))
    .sort((a, b) => (a.created < b.created ? 1 : -1));
  for (const peer of candidates) {
    const netns = openIfSame(peer);
    if (netns) return refuseOthers(request, netns, peers, () => notThere(request, text, GONE));
  }
  throw notThere(request, text, candidates.length === 0 ? 'no such attachment on record on this node' : GONE);
}

function notThere(request: ModeRequest, text: string, why: string): CniError {
  const { isPodsChoice } = request.selected;
  const whom = isPodsChoice ? ` for pods of Kubernetes namespace "${ownNamespaceOf(request)}"` : '';
  return tryAgain(`Target "${text}" of container "${request.key.containerId}" is not there (yet)${whom}: ${why}`);
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
  if (peer.isItsNetns(netns)) return netns;
  netns.close();
  return undefined;
}

function openPath(request: ModeRequest, text: string, path: string): Netns {
  const { isPodsChoice } = request.selected;
  const absent = () => notThere(request, text, 'no network namespace is at this path');
  let netns: Netns;
  try {
    netns = openNetns(isPodsChoice ? permittedPath(request, path) : path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw absent();
    if (error instanceof NotANamespaceError) throw malformed(request, error.message);
    throw error;
  }
  return isPodsChoice
    ? refuseOthers(
        request,
        netns,
        request.findPeers(() => true),
        absent,
      )
    : netns;
}

/** Refuse a path that the operator does not let a pod name. By its text: nothing is looked at. */
function refuseForeignPath(request: ModeRequest, path: string): void {
  const isPlain = !path.split('/').includes('..');
  if (!request.selected.isPodsChoice || (isPlain && targetPathsOf(request).some((glob) => matchesGlob(path, glob))))
    return;
  throw notPermitted(request, path);
}

/**
 * Where a path that a pod names leads: a symbolic link must not lead out of the pattern that permits it. Throws CniError 4
 * for one that does, node:fs's ENOENT when nothing is there.
 */
function permittedPath(request: ModeRequest, path: string): string {
  const real = realPathOf(path);
  if (targetPathsOf(request).some((glob) => matchesGlob(real, realPatternOf(glob)))) return real;
  throw notPermitted(request, path);
}

function targetPathsOf(request: ModeRequest): readonly string[] {
  return readKey(request.config.fields, TARGET_KEYS, 'targetPaths');
}

/** As realpath(3), but for the links in /proc/PID/ns, which are no paths: only the kernel can follow them. */
function realPathOf(path: string, linksLeft = MAX_LINKS): string {
  const parent = realpathSync(dirname(path));
  const real = join(parent, basename(path));
  if (statfsSync(parent).type === PROC_SUPER_MAGIC || !lstatSync(real).isSymbolicLink()) return real;
  // realpathSync() says what is wrong with a link that leads to itself.
  return linksLeft > 0 ? realPathOf(resolve(parent, readlinkSync(real)), linksLeft - 1) : realpathSync(real);
}

/** A pattern whose folders before the first wildcard are resolved: /var/run is /run nearly everywhere. */
function realPatternOf(glob: string): string {
  const parts = glob.split('/');
  const first = parts.findIndex((part) => /[*?]/.test(part));
  const folders = parts.slice(0, first < 0 ? -1 : first);
  try {
    return [realpathSync(folders.join('/') || '/'), ...parts.slice(folders.length)].join('/').replace(/^\/\//, '/');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return glob;
    throw error;
  }
}

function notPermitted(request: ModeRequest, path: string): CniError {
  return new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid target asked for by the pod: network "${request.config.name}" does not permit "${path}" (its "targetPaths" is ${describeValue(targetPathsOf(request))})`,
  );
}

/** Kubernetes namespace of the container that is attached; empty when the runtime gave none. */
function ownNamespaceOf({ cniArgs }: ModeRequest): string {
  return cniArgs.get('K8S_POD_NAMESPACE') ?? '';
}

/** Whether a container may share with another: the operator lets it, or both are of one Kubernetes namespace. */
function mayChoose(request: ModeRequest, { podNamespace }: Pick<Peer, 'podNamespace'>): boolean {
  return !request.selected.isPodsChoice || podNamespace === ownNamespaceOf(request);
}

function refuseForeignPod(request: ModeRequest, podNamespace: string, text: string): void {
  if (mayChoose(request, { podNamespace })) return;
  throw new CniError(
    ERR_INVALID_ENVIRONMENT_VARIABLES,
    `Invalid target asked for by the pod: "${text}" is in another Kubernetes namespace than "${ownNamespaceOf(request)}" (the operator can allow it with an entry of "overrides")`,
  );
}

/**
 * Refuse a pod the namespace that its target runs in when that is the host's, or another tenant's: by a target that shares
 * it itself, or by a path, it would get in by the back door. Closes the namespace then.
 */
function refuseOthers(request: ModeRequest, netns: Netns, peers: readonly Peer[], absent: () => CniError): Netns {
  if (!request.selected.isPodsChoice) return netns;
  if (isOwnNetns(netns)) {
    if (request.selected.allowed.includes('host')) return netns;
    netns.close();
    throw new CniError(
      ERR_INVALID_ENVIRONMENT_VARIABLES,
      `Invalid target asked for by the pod: it is in the host's network, and network "${request.config.name}" does not let a pod choose mode "host"`,
    );
  }
  const inhabitants = peers.filter(({ isItsNetns }) => isItsNetns(netns));
  const owners = inhabitants.filter(({ isSharer }) => !isSharer);
  // Of one whose owner is gone or unknown, all who share it have a say.
  if ((owners.length > 0 ? owners : inhabitants).every((peer) => mayChoose(request, peer))) return netns;
  netns.close();
  throw absent();
}
