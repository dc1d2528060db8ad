// Commands about podlink itself: help, version, completion.

import { SUPPORTED_VERSIONS } from '../../protocol/version.ts';
import { type Command, UsageError } from './command.ts';
import { formatBashCompletion } from './completion.ts';
import { suggest } from './spelling.ts';
import { formatCommandHelp, formatUsage } from './usage.ts';

/** `commands`: the table, which this one stands in itself. */
export function helpCommand(commands: () => readonly Command[]): Command {
  return {
    name: 'help',
    summary: 'list the commands, or tell more of one',
    arguments: [{ name: 'COMMAND', isRequired: false, isRepeated: true }],
    options: [],
    hasJson: false,
    run({ args, surroundings: { version } }) {
      if (args.length === 0) {
        return { json: undefined, text: (style) => formatUsage(commands(), version, style).trimEnd() };
      }
      const name = args.join(' ');
      const found = commands().filter((command) => command.name === name || command.name.startsWith(`${name} `));
      if (found.length === 0) {
        const names = commands().map((command) => command.name);
        throw new UsageError(`unknown command "${name}"${suggest(name, names)} ("podlink help" lists them)`);
      }
      return {
        json: undefined,
        text: (style) => found.map((command) => formatCommandHelp(command, style)).join('\n\n'),
      };
    },
  };
}

export const versionCommand: Command = {
  name: 'version',
  summary: 'print the version of podlink and of the protocol',
  arguments: [],
  options: [],
  run({ surroundings: { version } }) {
    return {
      json: { version, cniVersions: SUPPORTED_VERSIONS, node: process.version, arch: process.arch },
      text: () => `podlink ${version}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}`,
    };
  },
};

export function completionCommand(commands: () => readonly Command[]): Command {
  return {
    name: 'completion',
    summary: 'print a script for a shell that completes these commands',
    description: 'For the current shell: source <(podlink completion bash)',
    arguments: [{ name: 'SHELL', isRequired: true, completes: ['bash'] }],
    options: [],
    hasJson: false,
    run({ args }) {
      if (args[0] !== 'bash') throw new UsageError(`completion: SHELL must be bash, is "${args[0]}"`);
      return { json: undefined, text: () => formatBashCompletion(commands()) };
    },
  };
}
