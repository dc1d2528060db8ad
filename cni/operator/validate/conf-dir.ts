// A directory of network configurations, as the runtimes read it: /etc/cni/net.d.
//
//   *.conflist         a list: { "name", "cniVersion", "plugins": [ … ] }
//   *.conf, *.json     one plugin's configuration, with "name" and "cniVersion" in it

import { type ConfigurationDiagnosis, diagnose, messageOf } from './configuration-diagnosis.ts';
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { isErrno } from '../../kernel/errno.ts';
import { isObject } from '../../protocol/fields.ts';
import { parseJson } from '../../protocol/json/json.ts';
import { CommandError } from '../cli/command.ts';

export const DEFAULT_CONF_DIR = '/etc/cni/net.d';

/** A plugin's configuration in a file, as the runtime would hand it over: with name and cniVersion of the list. */
export interface ConfiguredPlugin {
  readonly file: string;
  readonly network: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** The configuration files of a directory, in the runtimes' order. An absent default directory has none; throws CommandError for another. */
export function listConfFiles(dir: string | undefined): string[] {
  const path = dir ?? DEFAULT_CONF_DIR;
  try {
    return readdirSync(path)
      .filter((name) => /\.(conf|conflist|json)$/.test(name))
      .sort()
      .map((name) => `${path}/${name}`);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    if (dir === undefined) return [];
    throw new CommandError(`there is no directory "${dir}"`);
  }
}

/** The text of a configuration file, or why it cannot be read, and whether runtimes pass over it as well. */
export type ConfText =
  | { readonly text: string }
  | { readonly unreadable: ConfigurationDiagnosis; readonly isPassedOver: boolean };

/** Read one file: what is wrong with it is no reason not to look at the others. */
export function readConf(path: string): ConfText {
  try {
    // A pipe would keep everybody waiting who opens it.
    const stat = statSync(path);
    if (stat.isFile()) return { text: readFileSync(path, 'utf8') };
    if (!stat.isDirectory()) return unreadable(diagnose('file-not-regular'));
    // libcni passes over a directory, and fails with a link to one.
    return { unreadable: diagnose('file-is-directory'), isPassedOver: !isLink(path) };
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      return unreadable(
        isLink(path) ? diagnose('link-broken', { found: readlinkSync(path) }) : diagnose('file-missing'),
      );
    if (isErrno(error, 'ELOOP')) return unreadable(diagnose('link-circular'));
    return unreadable(diagnose('file-unreadable', { found: error instanceof Error ? error.message : String(error) }));
  }
}

function unreadable(why: ConfigurationDiagnosis): ConfText {
  return { unreadable: why, isPassedOver: false };
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** The plugins of our type in the files of a directory. A file that cannot be read is told of, and passed over. */
export function listConfiguredPlugins(dir: string | undefined, warn: (message: string) => void): ConfiguredPlugin[] {
  return listConfFiles(dir).flatMap((file) => {
    const conf = readConf(file);
    if ('unreadable' in conf) {
      warn(`"${file}" ${messageOf(conf.unreadable)}: not looked at`);
      return [];
    }
    try {
      return pluginsOf(file, parseJson(conf.text, file));
    } catch (error) {
      warn(`${error instanceof Error ? error.message : String(error)}: not looked at ("podlink validate" tells more)`);
      return [];
    }
  });
}

function pluginsOf(file: string, value: unknown): ConfiguredPlugin[] {
  if (!isObject(value) || typeof value.name !== 'string') return [];
  const { name, cniVersion, plugins } = value;
  const entries: readonly unknown[] = Array.isArray(plugins) ? plugins : [value];
  return entries.flatMap((entry) => {
    const config = isObject(entry) && ourEntry(entry);
    if (!config) return [];
    const version = cniVersion === undefined ? {} : { cniVersion };
    return [{ file, network: name, config: { ...config, name, ...version } }];
  });
}

/** The plugin's own configuration, or the one that flannel passes on to it. */
function ourEntry(entry: Record<string, unknown>): Record<string, unknown> | undefined {
  if (entry.type === 'podlink') return entry;
  const { type, delegate } = entry;
  return type === 'flannel' && isObject(delegate) && delegate.type === 'podlink' ? delegate : undefined;
}
