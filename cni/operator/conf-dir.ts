// A directory of network configurations, as the runtimes read it: /etc/cni/net.d.
//
//   *.conflist         a list: { "name", "cniVersion", "plugins": [ … ] }
//   *.conf, *.json     one plugin's configuration, with "name" and "cniVersion" in it

import { readdirSync, readFileSync } from 'node:fs';
import { isErrno } from '../kernel/errno.ts';
import { isObject } from '../protocol/fields.ts';
import { parseJson } from '../protocol/json.ts';
import { CommandError } from './command.ts';

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

/** The plugins of our type in the files of a directory. A file that cannot be read is told of, and passed over. */
export function listConfiguredPlugins(dir: string | undefined, warn: (message: string) => void): ConfiguredPlugin[] {
  return listConfFiles(dir).flatMap((file) => {
    try {
      return pluginsOf(file, parseJson(readFileSync(file, 'utf8'), file));
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
