// `validate`: files of network configuration, before a runtime reads them.

import { statSync } from 'node:fs';
import { binDirsOf, type Command } from '../cli/command.ts';
import { type ConfCheck, type ConfFault, checkConf, failed } from './conf-check.ts';
import { listConfFiles, readConf } from './conf-dir.ts';
import { tell, type ToldFault, warning } from './fault.ts';
import { findHostConflicts } from './host-conflict.ts';
import { readKernelFiles } from '../doctor/kernel-feature.ts';
import { type BridgedNetwork, bridgedNetworksOf, findSharedSubnets } from './shared-subnet.ts';
import { count, printable, type Style } from '../cli/text-table.ts';

interface CheckedFile extends ConfCheck {
  readonly file: string;
}

interface ToldFile extends CheckedFile {
  readonly faults: readonly (ConfFault & ToldFault)[];
}

export const validateCommand: Command = {
  name: 'validate',
  summary: 'look for mistakes in network configurations',
  description:
    'FILE is a list of plugins (.conflist), a single one (.conf), "-" for standard input, or a directory of such files. Networks of several files that hand out the same addresses are told of. Entries of other plugins are left alone. Nothing is changed and no plugin is run. Exit status 1 for an error, with --strict for a warning too.',
  arguments: [{ name: 'FILE', isRequired: true, isRepeated: true, completes: 'file' }],
  options: [
    { name: 'strict', summary: 'let warnings count as errors' },
    { name: 'no-kernel', summary: 'do not ask what the kernel of this machine can do' },
  ],
  run(call) {
    const kernel = call.isSet('no-kernel') ? undefined : readKernelFiles();
    const { env } = call.surroundings;
    // A runtime's plugins need not be on the machine that validates, unless it says that they are.
    const pluginDirs = env.CNI_PATH ? binDirsOf(call) : undefined;
    const networks: BridgedNetwork[] = [];
    const checked = filesOf(call.args).map((file): CheckedFile => {
      const options = { env, kernel, pluginDirs };
      const conf = file === '-' ? { text: call.surroundings.readStdin() } : readConf(file);
      if (!('text' in conf)) return { file, ...failed(conf.unreadable) };
      networks.push(...bridgedNetworksOf({ file, text: conf.text }));
      return { file, ...checkConf(conf.text, file === '-' ? undefined : file, options) };
    });
    const shared = [...findSharedSubnets(networks), ...(kernel ? findHostConflicts(networks) : [])];
    const files = checked.map((each) => ({
      ...each,
      faults: [
        ...each.faults,
        ...shared
          .filter(({ file }) => file === each.file)
          .map(({ diagnosis }) => ({ ...warning(diagnosis), place: '' })),
      ].map(tell),
    }));
    const faults = files.flatMap((file) => file.faults);
    const counts = call.isSet('strict') ? faults.length : faults.filter(({ level }) => level === 'error').length;
    return {
      json: files,
      text: (style) => files.map((file) => describe(file, style)).join('\n'),
      hasFinding: counts > 0,
    };
  },
};

/** A directory stands for the files in it that runtimes read. */
function filesOf(args: readonly string[]): readonly string[] {
  const [dir = '', ...more] = args;
  const isDirectory = more.length === 0 && statSync(dir, { throwIfNoEntry: false })?.isDirectory() === true;
  const files = isDirectory ? listConfFiles(dir) : [];
  return files.length > 0 ? files : args;
}

function describe({ file, entries, network, faults }: ToldFile, style: Style): string {
  const name = file === '-' ? 'standard input' : file;
  const errors = faults.filter(({ level }) => level === 'error').length;
  const verdict =
    faults.length === 0
      ? style('green', 'ok')
      : style(
          errors > 0 ? 'red' : 'yellow',
          [errors > 0 && count(errors, 'error'), faults.length > errors && count(faults.length - errors, 'warning')]
            .filter((part) => part !== false)
            .join(', '),
        );
  const about = entries === 0 ? 'no entry of podlink' : `network "${network ?? '?'}"`;
  return [
    `${name}: ${verdict} (${printable(about)})`,
    ...faults.map(
      ({ level, place, message }) =>
        `  ${style(level === 'error' ? 'red' : 'yellow', level.padEnd(7))}  ${place === '' ? '' : `${place}: `}${printable(message)}`,
    ),
  ].join('\n');
}
