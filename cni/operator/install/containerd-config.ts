// containerd's own configuration, as far as it decides how podlink is run: /etc/containerd/config.toml and its imports.
//
//   version = 3                                        version 2, and 1 where the key is missing
//   imports = ["/etc/containerd/conf.d/*.toml"]        relative to the file; read after it, and over it
//   [plugins.'io.containerd.cri.v1.runtime']           version 2: "io.containerd.grpc.v1.cri"; version 1: cri
//     enable_unprivileged_ports = false
//     [plugins.'io.containerd.cri.v1.runtime'.cni]
//       bin_dirs = ["/opt/cni/bin"]
//
// containerd 2 merges an imported file key by key; containerd 1 replaces a plugin's whole section by the imported one.
// Source: cmd/containerd/server/config/config.go (v2.1), services/server/config/config.go (v1.6).

import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parse } from 'smol-toml';
import { isErrno } from '../../kernel/errno.ts';
import { isObject } from '../../protocol/fields.ts';
import { type Call, CommandError, type OptionSpec } from '../cli/command.ts';

const DEFAULT_CONTAINERD_CONFIG = '/etc/containerd/config.toml';

export const CONTAINERD_CONFIG_OPTION: OptionSpec = {
  name: 'containerd-config',
  value: 'FILE',
  summary: `the configuration of containerd (default ${DEFAULT_CONTAINERD_CONFIG})`,
  completes: 'file',
};

/** A key that no file sets is undefined: containerd's default holds, which depends on containerd's version. */
export interface ContainerdConfig {
  /** The files that were read, the main one first. */
  readonly files: readonly string[];
  /** Of the main file: 1 to 4. containerd 1 reads no version above 2. */
  readonly version: number;
  /** Directories of CNI plugins in the order of the search: `bin_dirs`, or `bin_dir` alone. Default: /opt/cni/bin. */
  readonly binDirs: readonly string[] | undefined;
  /** Default: /etc/cni/net.d. */
  readonly confDir: string | undefined;
  /** How many networks a pod gets, 0 for all. Default: 1. */
  readonly maxConfNum: number | undefined;
  /** Whether containerd 2 raises `lo` itself and runs no plugin `loopback`. Default: false. */
  readonly useInternalLoopback: boolean | undefined;
  /** Whether every pod gets net.ipv4.ip_unprivileged_port_start=0. Default: true from containerd 2 on. */
  readonly enableUnprivilegedPorts: boolean | undefined;
  /** Whether every pod gets net.ipv4.ping_group_range for everybody. Default: true from containerd 2 on. */
  readonly enableUnprivilegedIcmp: boolean | undefined;
}

/** Thrown for a file that containerd could not start with either. */
export class ContainerdConfigError extends Error {
  override readonly name = 'ContainerdConfigError';
}

/**
 * Read the configuration that a command was told of, or the usual one.
 *
 * Undefined when the usual one is not there: containerd runs with its defaults then, or not at all. Throws CommandError
 * when the one that was named is not there, and ContainerdConfigError.
 */
export function containerdConfigOf(call: Call, options: ContainerdConfigOptions = {}): ContainerdConfig | undefined {
  const path = call.valueOf(CONTAINERD_CONFIG_OPTION.name);
  const config = readContainerdConfig(path, options);
  if (config === undefined && path !== undefined) throw new CommandError(`there is no file "${path}"`);
  return config;
}

export interface ContainerdConfigOptions {
  /** Major version of the containerd that reads it. Without, the file's version decides: containerd 1 cannot read 3. */
  readonly major?: number | undefined;
}

/** Read a configuration with all that it imports. Undefined when there is no such file. Throws ContainerdConfigError. */
export function readContainerdConfig(
  path = DEFAULT_CONTAINERD_CONFIG,
  { major }: ContainerdConfigOptions = {},
): ContainerdConfig | undefined {
  const main = readFile(path);
  if (main === undefined) return undefined;
  const version = versionOf(main);
  const isWholeSection = (major ?? (version >= 3 ? 2 : 1)) < 2;
  const files = [path];
  let section = runtimeSection(main);
  const pending = importsOf(path, main);
  for (let file = pending.shift(); file !== undefined; file = pending.shift()) {
    if (files.includes(file)) continue;
    const imported = readFile(file);
    if (imported === undefined) throw new ContainerdConfigError(`"${file}" is imported, and is not there`);
    files.push(file);
    const added = runtimeSection(imported);
    if (added) section = section && !isWholeSection ? merge(section, added) : added;
    pending.push(...importsOf(file, imported));
  }
  return { files, version, ...settingsOf(section ?? {}) };
}

type Table = Readonly<Record<string, unknown>>;

function readFile(path: string): Table | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw new ContainerdConfigError(`cannot read "${path}": ${messageOf(error)}`, { cause: error });
  }
  try {
    return parse(text);
  } catch (error) {
    // Below the first line smol-toml shows the place in the text.
    throw new ContainerdConfigError(`"${path}" is not TOML: ${messageOf(error).split('\n')[0]}`, { cause: error });
  }
}

function versionOf({ version }: Table): number {
  return typeof version === 'number' && version > 0 ? version : 1;
}

/** The section about running pods, under the names that it has had. A file of version 3 has it under the new one alone. */
function runtimeSection(file: Table): Table | undefined {
  const plugins = tableIn(file, 'plugins') ?? {};
  const current = tableIn(plugins, 'io.containerd.cri.v1.runtime');
  if (versionOf(file) >= 3) return current;
  const old = tableIn(plugins, 'io.containerd.grpc.v1.cri') ?? tableIn(plugins, 'cri');
  return old && current ? merge(old, current) : (current ?? old);
}

function settingsOf(section: Table): Omit<ContainerdConfig, 'files' | 'version'> {
  const cni = tableIn(section, 'cni') ?? {};
  const dirs = Array.isArray(cni.bin_dirs) ? cni.bin_dirs.filter((dir) => typeof dir === 'string') : [];
  // containerd 2.1 refuses a file with both.
  const binDirs = dirs.length > 0 ? dirs : [textIn(cni, 'bin_dir')].filter((dir) => dir !== undefined);
  const maxConfNum = cni.max_conf_num;
  return {
    binDirs: binDirs.length > 0 ? binDirs : undefined,
    confDir: textIn(cni, 'conf_dir'),
    maxConfNum: typeof maxConfNum === 'number' ? maxConfNum : undefined,
    useInternalLoopback: booleanIn(cni, 'use_internal_loopback'),
    enableUnprivilegedPorts: booleanIn(section, 'enable_unprivileged_ports'),
    enableUnprivilegedIcmp: booleanIn(section, 'enable_unprivileged_icmp'),
  };
}

/** Key by key: tables are merged, all else is replaced. */
function merge(base: Table, over: Table): Table {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    merged[key] = isObject(old) && isObject(value) ? merge(old, value) : value;
  }
  return merged;
}

/** The files that a file imports. A pattern may match none. */
function importsOf(path: string, { imports }: Table): string[] {
  if (!Array.isArray(imports)) return [];
  return imports
    .filter((entry) => typeof entry === 'string')
    .map((entry) => resolve(dirname(path), entry))
    .flatMap((file) => (file.includes('*') ? filesMatching(file) : [file]));
}

/** filepath.Glob() of Go, as far as file names go: `*`, `?` and `[…]` stand for no "/", the result is sorted. */
function filesMatching(pattern: string): string[] {
  const parent = dirname(pattern);
  const parents = parent === pattern ? [pattern] : parent.includes('*') ? filesMatching(parent) : [parent];
  const name = patternOf(basename(pattern));
  return parents.flatMap((dir) =>
    namesIn(dir)
      .filter((entry) => name.test(entry))
      .sort()
      .map((entry) => join(dir, entry)),
  );
}

function patternOf(glob: string): RegExp {
  const source = glob.replace(/\[\^?[^\]]+\]|[^[]|\[/g, (part) => {
    if (part === '*') return '.*';
    if (part === '?') return '.';
    return part.length > 1 ? part : part.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  });
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    throw new ContainerdConfigError(`"${glob}" is no pattern of file names`);
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(realpathSync(dir));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw new ContainerdConfigError(`cannot read "${dir}": ${messageOf(error)}`, { cause: error });
  }
}

function tableIn(table: Table, key: string): Table | undefined {
  const value = table[key];
  return isObject(value) ? value : undefined;
}

/** An empty text is Go's for one that is not set. */
function textIn(table: Table, key: string): string | undefined {
  const value = table[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function booleanIn(table: Table, key: string): boolean | undefined {
  const value = table[key];
  return typeof value === 'boolean' ? value : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
