// The directories of CNI plugins: podlink has to be there, and to be what runs as `loopback`.
//
// containerd runs a plugin of that name for every pod. The stock one takes `lo` down on DEL, in whatever namespace the
// path shows: in the host's, for a pod that shares it (https://github.com/kubernetes/kubernetes/issues/100648).

import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { hasTrait } from '../../modes/mode-registry.ts';
import { BIN_DIR_OPTION, binDirsOf, type Call } from '../cli/command.ts';
import { type ContainerdConfig, containerdConfigOf } from '../install/containerd-config.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

const subject = 'plugins';
const TIMEOUT_MS = 10_000;

export function examinePlugins(call: Call, networks: readonly Network[]): Finding[] {
  const containerd = containerdConfigOf(call);
  const isNamed = call.valueOf(BIN_DIR_OPTION.name) !== undefined || Boolean(call.surroundings.env.CNI_PATH);
  const ordered = isNamed ? binDirsOf(call) : containerd?.binDirs;
  const searched = ordered ?? binDirsOf(call);
  const dirs = searched.filter((dir) => statSync(dir, { throwIfNoEntry: false })?.isDirectory());
  if (dirs.length === 0) {
    return [finding('warn', subject, 'plugin-directories-missing', { subject: searched })];
  }
  const withPodlink = dirs.filter((dir) => findPlugin(dir, 'podlink') !== undefined);
  const findings = withPodlink.map((dir): Finding => ({ level: 'ok', subject, what: `${dir}/podlink is there` }));
  if (withPodlink.length === 0) findings.push(finding('warn', subject, 'podlink-not-installed', { subject: dirs }));
  const sharing = networks.filter(mayShare).map(({ name }) => name);
  return [
    ...findings,
    ...dirs.flatMap((dir) => [...examineLink(dir, 'podlink'), ...examineLink(dir, 'loopback')]),
    ...examineLoopbacks(dirs, sharing, { isOrdered: ordered !== undefined, containerd }),
  ];
}

interface Search {
  /** Whether the runtime is known to search the directories in this order: the first hit counts. */
  readonly isOrdered: boolean;
  readonly containerd: ContainerdConfig | undefined;
}

/** The plugin `loopback` that the runtime runs; each there is, where its order is not known. */
function examineLoopbacks(dirs: readonly string[], sharing: readonly string[], search: Search): Finding[] {
  const { isOrdered, containerd } = search;
  if (containerd?.useInternalLoopback === true) {
    const what = `containerd raises lo itself (use_internal_loopback in ${containerd.files[0]}): no plugin loopback is run`;
    return [{ level: 'ok', subject, what }];
  }
  const withLoopback = dirs.filter((dir) => findPlugin(dir, 'loopback') !== undefined);
  return (isOrdered ? withLoopback.slice(0, 1) : withLoopback).flatMap((dir) => examineLoopback(dir, sharing));
}

/** Whether a container of the network may get into a namespace that is not its own. */
function mayShare({ config, records }: Network): boolean {
  if (records.some(({ mode }) => hasTrait(mode, 'sharesNamespace'))) return true;
  const fields = config?.fields;
  const overrides = fields?.get('overrides');
  const modes = [fields?.get('mode'), fields?.get('allowModes'), overrides].flat();
  return modes.some((value) => hasTrait(modeIn(value), 'sharesNamespace'));
}

function modeIn(value: unknown): string {
  if (typeof value === 'string') return value;
  const mode = typeof value === 'object' && value !== null && 'mode' in value ? value.mode : undefined;
  return typeof mode === 'string' ? mode : '';
}

/** A link that leads nowhere: the runtime finds a name, and nothing to run. */
function examineLink(dir: string, name: 'podlink' | 'loopback'): Finding[] {
  const path = `${dir}/${name}`;
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() || findPlugin(dir, name) !== undefined) return [];
  const parts = { subject: path, of: dir, found: readlinkSync(path) };
  return [finding('fail', subject, name === 'podlink' ? 'podlink-link-broken' : 'loopback-link-broken', parts)];
}

function examineLoopback(dir: string, sharing: readonly string[]): Finding[] {
  const path = findPlugin(dir, 'loopback');
  if (path === undefined) return [];
  if (isOurs(path, dir)) return [{ level: 'ok', subject, what: `${dir}/loopback is podlink` }];
  return [
    sharing.length > 0
      ? finding('fail', subject, 'loopback-foreign-with-sharing', { subject: dir, object: sharing })
      : finding('warn', subject, 'loopback-foreign', { subject: dir }),
  ];
}

/** The file behind a name in a directory; undefined when there is none. */
function findPlugin(dir: string, name: string): string | undefined {
  try {
    return realpathSync(`${dir}/${name}`);
  } catch {
    return undefined; // none, or a link that leads nowhere: the runtime finds no plugin either
  }
}

/** Whether a plugin is podlink: a link to it, the same file, or else one that says so when it is asked. */
function isOurs(path: string, dir: string): boolean {
  if (basename(path) === 'podlink' || path === findPlugin(dir, 'podlink')) return true;
  const [own, other] = [process.execPath, path].map((file) => statSync(file, { throwIfNoEntry: false }));
  if (own && other && own.dev === other.dev && own.ino === other.ino) return true;
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  // Without CNI_COMMAND every plugin says what it is; the stock one on standard error.
  const { stdout } = spawnSync(path, ['version'], { env: {}, input: '', timeout: TIMEOUT_MS, encoding: 'utf8' });
  return typeof stdout === 'string' && stdout.startsWith('podlink ');
}
