// What faults are injected into: an attachment with every feature, beside a neighbour whose own must stay.

import type { Config, ErrorDocument } from './document.ts';
import { describe, type FaultPoint } from './fault.ts';
import type { Host, Invocation, Outcome } from './host.ts';
import type { Namespace } from './namespace.ts';
import type { Snapshot } from './snapshot.ts';
import { mustAdd, mustPass, refusalOf, resultOf } from './verdict.ts';

const SYSCTL = 'net/ipv4/ip_unprivileged_port_start';
const ORIGINAL = '1024';

export interface FaultScene {
  readonly host: Host;
  readonly pod: Namespace;
  readonly invocation: Invocation;
  /** With the neighbour alone named as valid. */
  readonly gc: Invocation;
  readonly before: Snapshot;
}

/** Masquerading, two ports, limits both ways, a sysctl, dual stack. */
export function setFaultScene(host: Host): FaultScene {
  const config = host.config({
    cniVersion: '1.1.0',
    isDefaultGateway: true,
    ipMasq: true,
    sysctl: { 'net.ipv4.ip_unprivileged_port_start': '80' },
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
  });
  const neighbour = host.addContainer('neighbour');
  mustAdd(host, { config: withPorts(config, 9000), container: neighbour });
  const pod = host.addContainer('pod');
  pod.setSysctl(SYSCTL, ORIGINAL);
  const valid = [{ containerID: neighbour.name, ifname: 'eth0' }];
  return {
    host,
    pod,
    // Always the same addresses: the calls of one run are about the same files as those of the next.
    invocation: { config: withPorts(config, 8000, ['10.77.0.9/24', 'fd00:77::9/64']), container: pod },
    gc: { config: { ...config, 'cni.dev/valid-attachments': valid } },
    before: host.snapshot(),
  };
}

function withPorts(config: Config, hostPort: number, ips: readonly string[] = []): Config {
  const rates = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 8_000_000, egressBurst: 800_000 };
  const portMappings = [
    { hostPort, containerPort: 80, protocol: 'tcp' },
    { hostPort: hostPort + 1, containerPort: 53, protocol: 'udp' },
  ];
  return { ...config, runtimeConfig: { portMappings, bandwidth: rates, ips } };
}

/** Ways out of a fault: what a runtime may do next. */
export const RECOVERIES: readonly (readonly [string, (scene: FaultScene) => void])[] = [
  ['DEL', ({ host, invocation }) => mustPass(host, 'DEL', invocation)],
  ['GC', ({ host, gc }) => mustPass(host, 'GC', gc)],
  [
    'ADD again',
    ({ host, invocation }) => {
      const outcome = host.invoke('ADD', invocation);
      // One that was killed between the last record and the answer came to its end: only a DEL begins anew.
      if (outcome.code === 0) resultOf(outcome, invocation.config);
      else refusalOf(outcome, 'ADD', 102, /attached already/);
      mustPass(host, 'DEL', invocation);
    },
  ],
];

/** Where the next address is looked for may be another. */
const MAY_CHANGE = /last_reserved_ip\.\d+ /;
/**
 * What a call may leave that succeeded although one of its own failed: an index that nobody trusts any more, and a lock
 * file that nobody holds. The next call about the same replaces both.
 */
const UNTIL_NEXT_CALL = /^[+-] file \S+\/\.podlink\/|^\+ file \S+\.lock ""$/;
const MAX_LINE = 250;

/** Say what is not as it was before; undefined when all is well. */
export function leftOf(scene: FaultScene): string | undefined {
  const left = differences(scene);
  return left.length === 0 ? undefined : left.join('\n');
}

/** Likewise, but what only stays until the next call has until then. */
export function leftAfterError(scene: FaultScene): string | undefined {
  const left = differences(scene);
  if (left.length === 0) return undefined;
  if (!left.every((line) => UNTIL_NEXT_CALL.test(line))) return left.join('\n');
  mustAdd(scene.host, scene.invocation);
  mustPass(scene.host, 'DEL', scene.invocation);
  return leftOf(scene);
}

function differences({ host, pod, before }: FaultScene): string[] {
  const left = host.changesSince(before).filter((line) => !MAY_CHANGE.test(line));
  const value = pod.sysctl(SYSCTL);
  if (value !== ORIGINAL) left.push(`${SYSCTL} stays ${value}`);
  // For the next fault, that it is not blamed for this one.
  pod.setSysctl(SYSCTL, ORIGINAL);
  return left.map((line) => line.slice(0, MAX_LINE));
}

/** Why an answer to a fault is none that a runtime understands; undefined when it is one. */
export function faultOf({ code, signal, json, stdout, stderr }: Outcome): string | undefined {
  if (code === 0) return undefined;
  const error = json as ErrorDocument | undefined;
  if (signal !== null || error === undefined) return `it dies of ${signal ?? code}: ${stdout}${stderr}`;
  if (error.code === 999 || !error.msg) return `code ${error.code}: ${error.msg} ${error.details ?? ''}`;
  return undefined;
}

/** Faults and what came of them, for the line that says how many there were. */
export class FaultTally {
  readonly problems: string[] = [];
  faults = 0;

  /** Inject one fault; what goes wrong about it is a problem, and the next one still has its turn. */
  try(point: FaultPoint, what: string, work: () => string | undefined): void {
    this.faults++;
    let problem: string | undefined;
    try {
      problem = work();
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (problem !== undefined) this.problems.push(`${what} at ${describe(point)}: ${problem}`);
  }

  /** Throws Error with all problems. */
  finish(): void {
    console.log(`\nfaults injected: ${this.faults}, leaks: ${this.problems.length}`);
    if (this.problems.length > 0) throw new Error(this.problems.join('\n\n'));
  }
}
