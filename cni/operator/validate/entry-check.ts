// What is wrong with one podlink entry of a configuration: all that an ADD would refuse, found in one go, and what it
// would accept although it can hardly be meant.

import { IpamError } from '../../../ipam/errors.ts';
import { findIpamDriver } from '../../../ipam/registry.ts';
import { refuseUnservedProtection } from '../../features/firewall/unserved-protection.ts';
import { MODE_NAMES } from '../../modes/mode-selection.ts';
import { type NetworkConfig, networkConfigOf } from '../../protocol/config.ts';
import { FieldError, isObject } from '../../protocol/fields.ts';
import type { Environment } from '../../protocol/request.ts';
import { parseLogPath } from '../../verbs/log/call-log.ts';
import { Context } from '../../verbs/context.ts';
import { planRequest } from '../../verbs/plan.ts';
import { checkAddressing } from './addressing-check.ts';
import { checkCapabilities } from './capability-check.ts';
import { type Fault, valueAt, warning } from './fault.ts';
import { isConsequence, MutableConfig } from './faulty-value.ts';
import { ENTRY_KEYS, findEmptyTexts, findUnknownKeys, IPAM_KEYS } from './known-keys.ts';
import { suggest } from '../cli/spelling.ts';
import { checkUnusedKeys } from './unused-key-check.ts';

/** More errors than that are one: a file of another kind. */
const MAX_ERRORS = 50;
/** Files of the node, which the machine that validates may lack. */
const UNREADABLE = /must be a file that can be read/;

type RawConfig = Readonly<Record<string, unknown>>;

/** A mode that a pod may get by a configuration, and what that comes to then. */
interface PossibleMode {
  readonly mode: string;
  readonly changes: RawConfig;
  readonly isOverride: boolean;
}

/**
 * `config`: the entry as the runtime hands it over, with name and cniVersion. `pluginDirs`: undefined when it is not
 * known where plugins are. Nothing is changed, no plugin is run.
 */
export function checkEntry(config: RawConfig, env: Environment, pluginDirs?: readonly string[]): Fault[] {
  const refusals = checkPlans(config, env, pluginDirs);
  const faults = [
    ...checkKeys(config),
    ...refusals,
    ...checkEmptyTexts(config, refusals),
    ...checkUnusedKeys(
      config,
      modesOf(config).map(({ mode }) => mode),
    ),
    ...checkRuntimeKeys(config),
    ...checkCapabilities(config),
    ...checkAllowedModes(config),
  ];
  return [...new Map(faults.map((fault) => [fault.message, fault])).values()];
}

/** Keys that nobody reads, and one key in two spellings, of which the last counts. */
function checkKeys(config: RawConfig): Fault[] {
  const ipam = valueAt(config, 'ipam');
  const ipamKeys = isObject(ipam) ? IPAM_KEYS.get(String(valueAt(ipam, 'type'))) : undefined;
  const unknown = [
    ...findUnknownKeys(config, ENTRY_KEYS),
    // What another IPAM plugin reads is its own affair.
    ...(ipamKeys ? findUnknownKeys(ipam, ipamKeys, 'ipam') : []),
  ];
  return [
    ...unknown.map(({ path, key, known }) => warning(`unknown key "${path}", which is ignored${suggest(key, known)}`)),
    ...[config, ...(isObject(ipam) ? [ipam] : [])].flatMap(checkSpellings),
  ];
}

function checkSpellings(object: RawConfig): Fault[] {
  const spellings = Map.groupBy(Object.keys(object), (key) => key.toLowerCase());
  return [...spellings.values()]
    .filter((keys) => keys.length > 1)
    .map((keys) => warning(`${keys.map((key) => `"${key}"`).join(' and ')} are one key: only the last of them counts`));
}

/** Texts that are empty: like Go's, the parsers read them as "not given". */
function checkEmptyTexts(config: RawConfig, refusals: readonly Fault[]): Fault[] {
  const ipam = valueAt(config, 'ipam');
  const ipamKeys = isObject(ipam) ? IPAM_KEYS.get(String(valueAt(ipam, 'type'))) : undefined;
  const paths = [
    ...findEmptyTexts(config, ENTRY_KEYS),
    ...(isObject(ipam) ? findEmptyTexts(ipam, ipamKeys ?? { type: undefined }, 'ipam') : []),
  ];
  return paths
    .filter((path) => !refusals.some(({ message }) => message.includes(`"${path}"`)))
    .map((path) => warning(`"${path}" is empty, which is the same as leaving it out${DEFAULT_OF.get(path) ?? ''}`));
}

/** Defaults that an operator who writes an empty text might not expect. */
const DEFAULT_OF: ReadonlyMap<string, string> = new Map([
  ['ipam.dataDir', ': reservations are in /var/lib/cni/networks'],
  ['ipam.type', ': containers get no address'],
]);

/** All that the parsers refuse, in every mode that a pod may get by this configuration. */
function checkPlans(config: RawConfig, env: Environment, pluginDirs: readonly string[] | undefined): Fault[] {
  const found = modesOf(config).flatMap((possible) =>
    checkPlan(possible.changes, env, pluginDirs).map((each) => ({ ...possible, fault: each })),
  );
  return [...Map.groupBy(found, ({ fault: { message } }) => message)].flatMap(([message, group]) => {
    const [first] = group;
    if (!first) return [];
    if (group.some(({ isOverride }) => !isOverride)) return first.fault;
    const modes = [...new Set(group.map(({ mode }) => `"${mode}"`))];
    return { ...first.fault, message: `${message} (for pods in mode ${modes.join(' or ')})` };
  });
}

/** The configuration itself, and for what `overrides` and `allowModes` let a pod have, what it comes to then. */
function modesOf(config: RawConfig): PossibleMode[] {
  const base = valueAt(config, 'mode') ?? 'bridge';
  const overrides = valueAt(config, 'overrides');
  const allowed = valueAt(config, 'allowModes');
  const others = [
    ...(Array.isArray(overrides) ? overrides : []).flatMap((entry: unknown) =>
      isObject(entry) ? [{ mode: valueAt(entry, 'mode'), target: valueAt(entry, 'target') }] : [],
    ),
    ...(Array.isArray(allowed) ? allowed : []).map((mode: unknown) => ({ mode, target: undefined })),
  ].filter(({ mode }) => MODE_NAMES.some((name) => name === mode) && mode !== base);
  const byMode = new Map(others.toReversed().map((other) => [`${String(other.mode)} ${String(other.target)}`, other]));
  const changed = [...byMode.values()].toReversed().map(({ mode, target }) => ({
    changes: { ...withoutWish(without(config, 'mode', 'target', 'overrides', 'allowModes')), mode, target },
    mode: String(mode),
    isOverride: true,
  }));
  return [{ changes: config, mode: String(base), isOverride: false }, ...changed];
}

function checkPlan(config: RawConfig, env: Environment, pluginDirs: readonly string[] | undefined): Fault[] {
  const copy = new MutableConfig(config);
  const faults = findRefusals(copy, env);
  // Of what is sound in itself.
  return [...faults, ...checkAddressing(copy.value, pluginDirs, (path) => copy.originalPath(path))];
}

/** What planning says to it, again and again, each time without what it refused before. */
function findRefusals(copy: MutableConfig, env: Environment): Fault[] {
  const faults: Fault[] = [];
  const removed: string[] = [];
  while (removed.length < MAX_ERRORS) {
    const warnings: string[] = [];
    try {
      tryPlan(copy.value, env, (message) => warnings.push(message));
      return [...faults, ...warnings.map(warning)];
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!(error instanceof FieldError)) return mayFollow(error, removed) ? faults : [...faults, fault(message)];
      const path = copy.originalPath(error.path);
      if (!isConsequence(path, removed)) faults.push(fault(message.replace(`"${error.path}"`, `"${path}"`)));
      removed.push(path);
      if (!copy.remove(error.path)) return faults;
    }
  }
  return faults;
}

/** Whether an error without a place may be nothing but the consequence of what was taken out. */
function mayFollow(error: unknown, removed: readonly string[]): boolean {
  if (error instanceof IpamError) return removed.some((path) => /^(ipam|runtimeConfig|args|cniVersion)\b/i.test(path));
  return removed.length > 0;
}

/** As ADD does before it changes anything. Throws what that throws. */
function tryPlan(raw: RawConfig, env: Environment, warn: (message: string) => void): void {
  const config = networkConfigOf(raw);
  parseLogPath(config.fields);
  refuseUnservedProtection(config.fields);
  const key = { network: config.name, containerId: 'validate', ifname: 'eth0' };
  const context = new Context(env, warn);
  try {
    const input = (): string => JSON.stringify(raw);
    const { ipam } = planRequest({ key, config, cniArgs: new Map(), path: [], env, warn, input }, context);
    // Another plugin may not be installed on the machine that validates, and has to see to its section itself.
    if (ipam && isOwnIpam(config) && !isFilledByRuntime(config)) ipam.prepare();
  } finally {
    context.close();
  }
}

function isOwnIpam({ fields }: NetworkConfig): boolean {
  return findIpamDriver(fields.object('ipam')?.string('type') ?? '') !== undefined;
}

/** Whether the ranges come with each call. */
function isFilledByRuntime({ fields }: NetworkConfig): boolean {
  if (fields.object('capabilities')?.get('ipRanges') !== true) return false;
  const ipam = fields.object('ipam');
  return ipam?.get('ranges') === undefined && ipam?.get('subnet') === undefined;
}

/** A pod that may choose the host's network is past everything that asks who may have `hostNetwork`. */
function checkAllowedModes(config: RawConfig): Fault[] {
  const allowed = valueAt(config, 'allowModes');
  if (!Array.isArray(allowed) || !allowed.includes('host')) return [];
  return [
    warning(
      '"allowModes" has "host": whoever may create a pod can put it into the network of the node by an annotation, past Pod Security, NetworkPolicy and quotas, which see an ordinary pod ("overrides" does it for single pods)',
    ),
  ];
}

/** What a runtime puts in, and nobody else. */
function checkRuntimeKeys(config: RawConfig): Fault[] {
  return ['runtimeConfig', 'prevResult']
    .filter((key) => valueAt(config, key) !== undefined)
    .map((key) => warning(`"${key}" is the runtime's to fill in: it replaces what stands in the file`));
}

/** Without the mode that the file's own `args.cni` asks for, which would be chosen in the place of the one to look at. */
function withoutWish(config: RawConfig): RawConfig {
  const args = valueAt(config, 'args');
  const cni = isObject(args) ? valueAt(args, 'cni') : undefined;
  if (!isObject(args) || !isObject(cni)) return config;
  return { ...without(config, 'args'), args: { ...without(args, 'cni'), cni: without(cni, 'mode', 'target') } };
}

function without(object: RawConfig, ...keys: readonly string[]): RawConfig {
  const names = keys.map((key) => key.toLowerCase());
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name.toLowerCase())));
}

function fault(message: string): Fault {
  return { level: UNREADABLE.test(message) ? 'warning' : 'error', message };
}
