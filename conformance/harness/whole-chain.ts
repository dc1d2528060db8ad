// All that a kubelet hands over, in one entry: what podlink does in one run takes the reference a chain of plugins. Run
// against the reference, an invocation here is that chain, called as libcni does: each plugin with the keys that are its
// own and the result of the one before, DEL in the opposite order.

import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { addressOf, type Config, type ErrorDocument, type Result } from './document.ts';
import type { Command, Host, Invocation, Outcome } from './host.ts';
import { AGAINST_REFERENCE, REFERENCE_FOLDER } from './plugin.ts';
import type { Pod } from './pod.ts';
import { refusalOf, resultOf, withPrevResult } from './verdict.ts';

interface ChainedPlugin {
  readonly type: string;
  /** Keys of the entry that are this plugin's. */
  readonly keys: readonly string[];
  /** Likewise, of `runtimeConfig`. */
  readonly capabilities: readonly string[];
}

const CHAINED: readonly ChainedPlugin[] = [
  { type: 'portmap', keys: ['snat', 'masqAll'], capabilities: ['portMappings'] },
  {
    type: 'bandwidth',
    keys: ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst', 'unshapedSubnets', 'shapedSubnets'],
    capabilities: ['bandwidth'],
  },
  { type: 'tuning', keys: ['sysctl', 'promisc', 'allmulti', 'txQLen'], capabilities: [] },
  { type: 'firewall', keys: ['ingressPolicy'], capabilities: [] },
];

/** Run the entry once: podlink, or the chain in its place. */
export function invokeWhole(host: Host, command: Command, invocation: Invocation): Outcome {
  return AGAINST_REFERENCE ? invokeReferenceChain(host, command, invocation) : host.invoke(command, invocation);
}

/**
 * Run the chain of the reference, also when that is not what the cases run against. The outcome is that of the last
 * plugin, or of the first that fails.
 */
export function invokeReferenceChain(host: Host, command: Command, invocation: Invocation): Outcome {
  if (typeof invocation.config === 'string') throw new TypeError('Cannot divide a configuration that is text');
  const entry = invocation.config;
  // CHECK of 1.1.1's bandwidth crashes where there is no limit: who wants none has no such plugin in the list.
  const chained = CHAINED.filter((plugin) => command !== 'CHECK' || isAskedFor(entry, plugin));
  const configs = [ownPart(entry, 'bridge'), ...chained.map(({ type }) => ownPart(entry, type))];
  let { prevResult } = entry;
  let outcome: Outcome | undefined;
  for (const config of command === 'DEL' ? configs.toReversed() : configs) {
    outcome = runPlugin(host, command, invocation, { ...config, ...(prevResult !== undefined && { prevResult }) });
    if (outcome.code !== 0) return outcome;
    if (command === 'ADD') prevResult = outcome.json;
  }
  if (!outcome) throw new TypeError('The chain is empty');
  return outcome;
}

function isAskedFor({ runtimeConfig = {}, ...entry }: Config, { keys, capabilities }: ChainedPlugin): boolean {
  return keys.some((key) => key in entry) || capabilities.some((key) => key in (runtimeConfig as object));
}

/** The part of the entry that is a plugin's: of the bridge, all that is no other's. */
function ownPart(entry: Config, type: string): Config {
  const { cniVersion, name, runtimeConfig = {}, prevResult: _, ...keys } = entry;
  const chained = CHAINED.find((plugin) => plugin.type === type);
  const isOwn = (key: string, of: 'keys' | 'capabilities'): boolean =>
    chained ? chained[of].includes(key) : !CHAINED.some((plugin) => plugin[of].includes(key));
  const pick = (from: object, of: 'keys' | 'capabilities'): Config =>
    Object.fromEntries(Object.entries(from).filter(([key]) => isOwn(key, of)));
  return {
    ...pick(keys, 'keys'),
    ...(cniVersion !== undefined && { cniVersion }),
    ...(name !== undefined && { name }),
    type,
    runtimeConfig: pick(runtimeConfig as object, 'capabilities'),
  };
}

function runPlugin(host: Host, command: Command, invocation: Invocation, config: Config): Outcome {
  const withFolder = config.type === 'tuning' ? { ...config, dataDir: join(host.folder, 'tuning') } : config;
  const output = host.namespace.run(join(REFERENCE_FOLDER, config.type ?? ''), [], {
    input: JSON.stringify(withFolder),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: invocation.containerId ?? invocation.container?.name ?? '',
      CNI_NETNS: invocation.netns ?? invocation.container?.path ?? '',
      CNI_IFNAME: invocation.ifname ?? 'eth0',
      CNI_PATH: REFERENCE_FOLDER,
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      ...(invocation.args !== undefined && { CNI_ARGS: invocation.args }),
    },
  });
  let json: Outcome['json'];
  try {
    json = JSON.parse(output.stdout) as Result | ErrorDocument;
  } catch {
    json = undefined; // DEL and CHECK print nothing
  }
  return { ...output, json };
}

/** ADD that must succeed: of a new container, or with `more.container` of that one. */
export function addWholePod(host: Host, config: Config, more: Partial<Invocation> = {}): Pod {
  const namespace = more.container ?? host.addContainer();
  const invocation = { ...more, config, container: namespace };
  return podOf(invocation, namespace, resultOf(invokeWhole(host, 'ADD', invocation), config));
}

/** A container that has been attached, with the result that its ADD gave. */
export function podOf(
  invocation: Invocation & { readonly config: Config },
  namespace: Pod['namespace'],
  result: Result,
): Pod {
  const addresses = (result.ips ?? []).map(({ address }) => addressOf(address));
  return {
    namespace,
    config: invocation.config,
    invocation,
    result,
    ipv4: addresses.find((address) => !address.includes(':')) ?? '',
    ipv6: addresses.find((address) => address.includes(':')) ?? '',
  };
}

/** CHECK as a runtime does it, with the result of the ADD. Must pass. */
export function checkWholePod(host: Host, pod: Pod): void {
  mustPassWhole(host, 'CHECK', { ...pod.invocation, config: withPrevResult(pod.config, pod.result) });
}

/** DEL, likewise. */
export function delWholePod(host: Host, pod: Pod): void {
  mustPassWhole(host, 'DEL', { ...pod.invocation, config: withPrevResult(pod.config, pod.result) });
}

/** A command that must succeed and print nothing. */
export function mustPassWhole(host: Host, command: 'CHECK' | 'DEL', invocation: Invocation): void {
  const { code, stdout, stderr } = invokeWhole(host, command, invocation);
  assert.is(code, 0, `${command} fails: ${stdout}${stderr}`);
  assert.is(stdout, '', `${command} prints on stdout`);
}

/** A command that must be refused, with a code and a text. */
export function mustRefuseWhole(
  host: Host,
  command: Command,
  invocation: Invocation,
  code: number,
  pattern: RegExp,
): ErrorDocument {
  return refusalOf(invokeWhole(host, command, invocation), command, code, pattern);
}
