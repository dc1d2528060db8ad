// Containers that share a network, attached without a runtime, and what lies on a path.

import { readFileSync } from 'node:fs';
import { mustRun } from '../harness/command.ts';
import type { Config, Result } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustAdd } from '../harness/verdict.ts';

/** Why the reference plugins cannot run these cases. */
export const ABSENT = { absent: 'modes that share a namespace' };

/** A network in host mode. */
export const HOST_MODE: Config = { cniVersion: '1.0.0', name: 'hosts', type: 'podlink', mode: 'host' };

/** A network in container mode. */
export function containerMode(target: string): Config {
  return { cniVersion: '1.0.0', name: 'sharers', type: 'podlink', mode: 'container', target };
}

/** How many mounts lie on a path. */
export function mountsAt(path: string): number {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[4] === path).length;
}

/** `device:inode` of what is at a path. */
export function identityAt(path: string): string {
  return mustRun('stat', ['--dereference', '--format', '%d:%i', path]).trim();
}

/** A container that shares a network, and how it was attached. */
export interface Sharer {
  readonly sharer: Namespace;
  readonly invocation: Invocation;
  readonly result: Result;
  /** Its own namespace, before ADD. */
  readonly own: string;
}

/** A container in the host's network. */
export function addToHost(host: Host): Sharer {
  const sharer = host.addContainer('sharer');
  const own = identityAt(sharer.path);
  const invocation = { config: HOST_MODE, container: sharer };
  return { sharer, invocation, own, result: mustAdd(host, invocation) };
}

export interface TargetSharer extends Sharer {
  readonly target: Namespace;
  readonly targetInvocation: Invocation;
}

/** A container on the bridge and one that shares its network. */
export function addToTarget(host: Host): TargetSharer {
  const target = host.addContainer('target');
  const targetInvocation = { config: host.config(), container: target };
  mustAdd(host, targetInvocation);
  const sharer = host.addContainer('sharer');
  const own = identityAt(sharer.path);
  const invocation = { config: containerMode(`container:${target.name}`), container: sharer };
  return { sharer, target, targetInvocation, invocation, own, result: mustAdd(host, invocation) };
}
