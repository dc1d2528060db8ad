// What is wrong with a file of network configuration: a list of plugins, or a single plugin's. Entries of other plugins
// are their own affair, except where they do podlink's work once more.

import { CniError } from '../../protocol/errors.ts';
import { describeValue, isObject } from '../../protocol/fields.ts';
import { parseJson } from '../../protocol/json/json.ts';
import { DUPLICATED, findDuplicateKey } from '../../protocol/json/json-duplicate.ts';
import { validateNetworkName } from '../../protocol/name.ts';
import type { Environment } from '../../protocol/request.ts';
import { isSupportedVersion, SUPPORTED_VERSIONS } from '../../protocol/version.ts';
import { networkConfigOf } from '../../protocol/config.ts';
import { kernelNeedsOf } from '../doctor/config-needs.ts';
import { checkEntry } from './entry-check.ts';
import { findDoubles } from './doubled-work.ts';
import { type Fault, warning } from './fault.ts';
import { type KernelFiles, probe } from '../doctor/kernel-feature.ts';
import { LIST_KEYS } from '../schema/key-schema.ts';
import { findUnknownKeys } from './key-check.ts';
import { findSecondInterfaces } from './second-interface.ts';
import { nearestWord } from '../cli/spelling.ts';

/** A fault, and where in the file it is: `plugins[0]`, or empty for the file as a whole. */
export interface ConfFault extends Fault {
  readonly place: string;
}

export interface ConfCheck {
  /** The podlink entries that were found, and the network they are of. */
  readonly network: string | undefined;
  readonly entries: number;
  readonly faults: readonly ConfFault[];
}

export interface ConfCheckOptions {
  readonly env: Environment;
  /** Undefined: the kernel is not asked. */
  readonly kernel: KernelFiles | undefined;
  /** Where plugins are; undefined when that is not known. */
  readonly pluginDirs?: readonly string[] | undefined;
}

/** `name`: of the file, whose ending says what runtimes take it for; undefined for standard input. */
export function checkConf(text: string, name: string | undefined, options: ConfCheckOptions): ConfCheck {
  let value: unknown;
  try {
    value = parseJson(text, 'not JSON');
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
  if (!isObject(value)) return failed(`must be a JSON object, is ${describeValue(value)}`);
  const isList = Object.keys(value).some((key) => key.toLowerCase() === 'plugins');
  const checked = isList ? checkList(value, options) : checkPlugin(value, '', value, options);
  // A single plugin's file that is not ours (99-loopback.conf) is its own affair.
  const isConcern = isList || checked.entries > 0;
  const ofFile = isConcern ? [...checkEnding(name, isList), ...checkName(value), ...checkVersions(value)] : [];
  return {
    network: typeof value.name === 'string' ? value.name : undefined,
    entries: checked.entries,
    faults: [
      ...[...checkDuplicates(text, value), ...ofFile].map((fault) => ({ ...fault, place: '' })),
      ...checked.faults,
    ],
  };
}

/** libcni reads a list into maps and keeps the last of two values: the plugins never see that there were two. */
function checkDuplicates(text: string, value: unknown): Fault[] {
  const path = findDuplicateKey(text, value);
  return path === undefined ? [] : [{ level: 'error', message: `Invalid "${path}": ${DUPLICATED}` }];
}

/** The check of a file that cannot be read. */
export function failed(message: string): ConfCheck {
  return { network: undefined, entries: 0, faults: [{ level: 'error', message, place: '' }] };
}

type Checked = Pick<ConfCheck, 'entries' | 'faults'>;

function checkList(list: Record<string, unknown>, options: ConfCheckOptions): Checked {
  const unknown = findUnknownKeys(list, LIST_KEYS).map((fault) => ({ ...fault, place: '' }));
  const plugins = Object.entries(list).find(([key]) => key.toLowerCase() === 'plugins')?.[1];
  if (!Array.isArray(plugins) || plugins.length === 0) {
    const message = `Invalid "plugins": must be a list with a plugin in it, is ${describeValue(plugins)}`;
    return { entries: 0, faults: [...unknown, { level: 'error', message, place: '' }] };
  }
  const checked = plugins.map((entry: unknown, i) => checkPlugin(entry, `plugins[${i}]`, list, options));
  return {
    entries: checked.reduce((sum, { entries }) => sum + entries, 0),
    faults: [
      ...unknown,
      ...checked.flatMap(({ faults }) => faults),
      ...findDoubles(plugins),
      ...findSecondInterfaces(plugins),
    ],
  };
}

function checkPlugin(entry: unknown, place: string, list: Record<string, unknown>, options: ConfCheckOptions): Checked {
  const error = (message: string): Checked => ({ entries: 0, faults: [{ level: 'error', message, place }] });
  if (!isObject(entry)) return error(`must be an object, is ${describeValue(entry)}`);
  const { type, delegate } = entry;
  if (typeof type !== 'string' || type === '') {
    return error(`Invalid "type": must name a plugin, is ${describeValue(type)}`);
  }
  if (type === 'podlink') return checkOurs(entry, place, list, options);
  if (type === 'flannel' && isObject(delegate) && delegate.type === 'podlink') {
    // flannel puts these into what it passes on.
    const filledIn = { ipMasq: false, ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.0.0/24' }]] } };
    return checkOurs({ ...filledIn, ...delegate }, `${place}.delegate`, list, options);
  }
  const isSlip = nearestWord(type, ['podlink']) !== undefined;
  const message = `there is no plugin "${type}" that podlink knows of; did you mean "podlink"?`;
  return { entries: 0, faults: isSlip ? [{ ...warning(message), place }] : [] };
}

function checkOurs(
  entry: Record<string, unknown>,
  place: string,
  list: Record<string, unknown>,
  { env, kernel, pluginDirs }: ConfCheckOptions,
): Checked {
  const { cniVersion } = list;
  // What is wrong with these is told of the file as a whole.
  const config = {
    ...entry,
    name: isUsableName(list.name) ? list.name : 'network',
    cniVersion: typeof cniVersion === 'string' && isSupportedVersion(cniVersion) ? cniVersion : '1.1.0',
  };
  const faults = [...checkEntry(config, env, pluginDirs), ...(kernel ? checkKernel(config, kernel) : [])];
  return { entries: 1, faults: faults.map((fault) => ({ ...fault, place })) };
}

/** The kernel of this machine: when that is not the node's, `--no-kernel` leaves it out. */
function checkKernel(config: Record<string, unknown>, kernel: KernelFiles): Fault[] {
  return kernelNeedsOf(networkConfigOf(config)).flatMap(({ key, features }) => {
    const missing = features.filter((feature) => probe(feature, kernel) === 'missing');
    if (missing.length === 0) return [];
    const names = missing.map(({ name, option }) => `${name} (${option})`).join(', ');
    return [warning(`"${key}" needs what the kernel of this machine lacks: ${names}`)];
  });
}

/** containerd, CRI-O and Podman choose the reader by the ending. */
function checkEnding(name: string | undefined, isList: boolean): Fault[] {
  if (name === undefined) return [];
  if (/\.conflist$/.test(name)) {
    return isList
      ? []
      : [{ level: 'error', message: 'a .conflist must have "plugins": name a single plugin\'s file .conf' }];
  }
  if (/\.(conf|json)$/.test(name)) {
    return isList
      ? [{ level: 'error', message: 'a list of plugins is read from a .conflist only: rename the file' }]
      : [];
  }
  return [warning('runtimes read only files that end in .conflist, .conf or .json')];
}

function checkName({ name }: Record<string, unknown>): Fault[] {
  if (isUsableName(name)) return [];
  const problem =
    'must be letters, digits, "_", "." and "-", beginning with a letter or digit, and at most 255 of them';
  return [{ level: 'error', message: `Invalid "name": ${problem}, is ${describeValue(name)}` }];
}

function isUsableName(name: unknown): name is string {
  if (typeof name !== 'string' || name.length > 255) return false;
  try {
    validateNetworkName(name);
    return true;
  } catch (error) {
    if (error instanceof CniError) return false;
    throw error;
  }
}

function checkVersions({ cniVersion, cniVersions }: Record<string, unknown>): Fault[] {
  const known = SUPPORTED_VERSIONS.join(', ');
  if (
    cniVersions !== undefined &&
    !(Array.isArray(cniVersions) && cniVersions.every((each) => typeof each === 'string'))
  ) {
    return [
      {
        level: 'error',
        message: `Invalid "cniVersions": must be a list of versions, is ${describeValue(cniVersions)}`,
      },
    ];
  }
  if (cniVersion === undefined && cniVersions === undefined) {
    return [
      warning('"cniVersion" is missing, which means 0.1.0: one address of each family, and no CHECK, GC or STATUS'),
    ];
  }
  if (cniVersion === undefined || (typeof cniVersion === 'string' && isSupportedVersion(cniVersion))) return [];
  return [
    { level: 'error', message: `Invalid "cniVersion": must be one of ${known}, is ${describeValue(cniVersion)}` },
  ];
}
