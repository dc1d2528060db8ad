// The files of network configuration that runtimes read: what `validate` says to them.

import { hasTrait } from '../../modes/mode-registry.ts';
import { overlaps } from '../../address/ip.ts';
import { binDirsOf, type Call, CONF_DIR_OPTION } from '../cli/command.ts';
import { type ConfCheck, checkConf, failed } from '../validate/conf-check.ts';
import { DEFAULT_CONF_DIR, listConfFiles, readConf } from '../validate/conf-dir.ts';
import { warning } from '../validate/fault.ts';
import { type Finding, finding } from './finding.ts';
import { findHostConflicts } from '../validate/host-conflict.ts';
import { hasGateway, type Network } from '../listing/network-list.ts';
import { bridgedNetworksOf } from '../validate/shared-subnet.ts';
import { count } from '../cli/text-table.ts';

const subject = 'configuration';

interface CheckedFile extends ConfCheck {
  readonly file: string;
  readonly isRead: boolean;
}

export function examineConfigurations(call: Call, networks: readonly Network[]): Finding[] {
  const dir = call.valueOf(CONF_DIR_OPTION.name);
  const files = listConfFiles(dir);
  // What the kernel lacks for them is told under "kernel".
  const options = { env: call.surroundings.env, kernel: undefined, pluginDirs: binDirsOf(call) };
  const checked = files.map((file): CheckedFile => {
    const conf = readConf(file);
    if ('text' in conf) return { file, isRead: true, ...checkConf(conf.text, file, options) };
    const { unreadable } = conf;
    const check = failed(unreadable);
    return {
      file,
      isRead: false,
      ...(conf.isPassedOver ? { ...check, faults: [{ ...warning(unreadable), place: '' }] } : check),
    };
  });
  const faulty = checked.flatMap(({ file, faults }): Finding[] => {
    if (faults.length === 0) return [];
    const isError = faults.some(({ level }) => level === 'error');
    const ordered = faults.toSorted((a, b) => (a.level < b.level ? -1 : 1));
    const parts = {
      subject: file,
      object: ordered[0]?.place ?? '',
      causes: ordered.map(({ diagnosis }) => diagnosis),
    };
    return [
      isError
        ? finding('fail', subject, 'configuration-refused', parts)
        : finding('warn', subject, 'configuration-doubtful', parts),
    ];
  });
  const ours = checked.filter(({ entries }) => entries > 0);
  const sound: Finding = {
    level: 'ok',
    subject,
    what: `${count(ours.length, 'file')} of ${dir ?? DEFAULT_CONF_DIR} with podlink in it${ours.length === 0 ? ` (${count(files.length, 'file')} in all)` : ''}`,
  };
  const conflicts = files.flatMap((file) => {
    const conf = readConf(file);
    return 'text' in conf ? findHostConflicts(bridgedNetworksOf({ file, text: conf.text })) : [];
  });
  return [
    sound,
    ...faulty,
    ...examineOrder(checked),
    ...examineNames(checked),
    ...findSharedAddresses(networks),
    ...conflicts.map(({ file, diagnosis }) =>
      finding('warn', subject, 'network-of-host', { subject: file, causes: [diagnosis] }),
    ),
  ];
}

/** Networks that hand out the same addresses, on one bridge or where the node has a route to both: it has but one. */
export function findSharedAddresses(networks: readonly Network[]): Finding[] {
  const bridged = networks.filter(({ mode }) => hasTrait(mode, 'hasBridge'));
  return bridged.flatMap((network, i) =>
    bridged.slice(i + 1).flatMap((other): Finding[] => {
      if (network.bridge !== other.bridge && !(hasGateway(network) && hasGateway(other))) return [];
      const shared = network.subnets.find(({ subnet }) => other.subnets.some((each) => overlaps(subnet, each.subnet)));
      if (!shared) return [];
      const parts = { subject: network.name, object: other.name, found: shared.subnet };
      return [finding('warn', subject, 'addresses-shared', parts)];
    }),
  );
}

/** containerd and CRI-O take the first file of the directory, whatever is in it. */
function examineOrder(checked: readonly CheckedFile[]): Finding[] {
  const [first] = checked.filter(({ isRead }) => isRead);
  if (!first || first.entries > 0 || checked.every(({ entries }) => entries === 0)) return [];
  return [finding('warn', subject, 'foreign-configuration-first', { subject: first.file })];
}

/** One name in several files: which of them a container gets is a matter of their order. */
function examineNames(checked: readonly CheckedFile[]): Finding[] {
  const named = checked.filter(({ network }) => network !== undefined);
  return [...Map.groupBy(named, ({ network }) => network)].flatMap(([network, files]): Finding[] => {
    const [first, ...others] = files.map(({ file }) => file);
    if (others.length === 0 || files.every(({ entries }) => entries === 0)) return [];
    const parts = { subject: network ?? '', object: first ?? '', found: others };
    return [finding('warn', subject, 'network-name-twice', parts)];
  });
}
