// What is wrong with a file of network configuration: a list of plugins, or a single plugin's. Entries of other plugins
// are their own affair, except where they do podlink's work once more.

import { CniError } from '../../protocol/errors.ts';
import { describeValue, isObject } from '../../protocol/fields.ts';
import { parseJson } from '../../protocol/json/json.ts';
import { findDuplicateKey } from '../../protocol/json/json-duplicate.ts';
import { validateNetworkName } from '../../protocol/name.ts';
import type { Environment } from '../../protocol/request.ts';
import { isSupportedVersion, SUPPORTED_VERSIONS } from '../../protocol/version.ts';
import { networkConfigOf } from '../../protocol/config.ts';
import { kernelNeedsOf } from '../doctor/config-needs.ts';
import { type ConfigurationDiagnosis, diagnose } from './configuration-diagnosis.ts';
import { checkEntry } from './entry-check.ts';
import { findDoubles } from './doubled-work.ts';
import { error, type Fault, warning } from './fault.ts';
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
  } catch (thrown) {
    return failed(diagnose('not-json', { found: thrown instanceof Error ? thrown.message : String(thrown) }));
  }
  if (!isObject(value)) return failed(diagnose('not-an-object', { found: describeValue(value) }));
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
  return path === undefined ? [] : [error(diagnose('key-twice', { subject: path }))];
}

/** The check of a file that cannot be read. */
export function failed(diagnosis: ConfigurationDiagnosis): ConfCheck {
  return { network: undefined, entries: 0, faults: [{ ...error(diagnosis), place: '' }] };
}

type Checked = Pick<ConfCheck, 'entries' | 'faults'>;

function checkList(list: Record<string, unknown>, options: ConfCheckOptions): Checked {
  const unknown = findUnknownKeys(list, LIST_KEYS).map((fault) => ({ ...fault, place: '' }));
  const plugins = Object.entries(list).find(([key]) => key.toLowerCase() === 'plugins')?.[1];
  if (!Array.isArray(plugins) || plugins.length === 0) {
    const fault = error(diagnose('plugins-missing', { found: describeValue(plugins) }));
    return { entries: 0, faults: [...unknown, { ...fault, place: '' }] };
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
  const faulty = (fault: Fault): Checked => ({ entries: 0, faults: [{ ...fault, place }] });
  if (!isObject(entry)) return faulty(error(diagnose('plugin-not-an-object', { found: describeValue(entry) })));
  const { type, delegate } = entry;
  if (typeof type !== 'string' || type === '') {
    return faulty(error(diagnose('plugin-type-missing', { found: describeValue(type) })));
  }
  if (type === 'podlink') return checkOurs(entry, place, list, options);
  if (type === 'flannel' && isObject(delegate) && delegate.type === 'podlink') {
    // flannel puts these into what it passes on.
    const filledIn = { ipMasq: false, ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.0.0/24' }]] } };
    return checkOurs({ ...filledIn, ...delegate }, `${place}.delegate`, list, options);
  }
  const isSlip = nearestWord(type, ['podlink']) !== undefined;
  if (!isSlip) return { entries: 0, faults: [] };
  return faulty(warning(diagnose('plugin-type-misspelled', { expected: 'podlink', found: type })));
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
    const found = missing.map(({ name, option }) => `${name} (${option})`);
    return [warning(diagnose('kernel-lacks-feature-of-key', { subject: key, found }))];
  });
}

/** containerd, CRI-O and Podman choose the reader by the ending. */
function checkEnding(name: string | undefined, isList: boolean): Fault[] {
  if (name === undefined) return [];
  if (/\.conflist$/.test(name)) {
    return isList ? [] : [error(diagnose('ending-of-single-plugin'))];
  }
  if (/\.(conf|json)$/.test(name)) {
    return isList ? [error(diagnose('ending-of-list'))] : [];
  }
  return [warning(diagnose('ending-unknown'))];
}

function checkName({ name }: Record<string, unknown>): Fault[] {
  if (isUsableName(name)) return [];
  return [error(diagnose('name-unusable', { found: describeValue(name) }))];
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
  if (
    cniVersions !== undefined &&
    !(Array.isArray(cniVersions) && cniVersions.every((each) => typeof each === 'string'))
  ) {
    return [error(diagnose('versions-unusable', { found: describeValue(cniVersions) }))];
  }
  if (cniVersion === undefined && cniVersions === undefined) return [warning(diagnose('version-missing'))];
  if (cniVersion === undefined || (typeof cniVersion === 'string' && isSupportedVersion(cniVersion))) return [];
  const found = describeValue(cniVersion);
  return [error(diagnose('version-unsupported', { expected: SUPPORTED_VERSIONS, found }))];
}
