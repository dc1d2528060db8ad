// Help, made from the table of commands.

import { SUPPORTED_VERSIONS } from '../../protocol/version.ts';
import type { ArgumentSpec, Command, OptionSpec } from './command.ts';
import { PLAIN, type Style, wrap } from './text-table.ts';

const WIDTH = 100;
const HELP: OptionSpec = { name: 'help', short: 'h', summary: 'print this text' };
const JSON_OPTION: OptionSpec = { name: 'json', summary: 'print JSON' };

/** What `podlink help` prints, with the newline at its end. */
export function formatUsage(commands: readonly Command[], version: string, style: Style = PLAIN): string {
  return `podlink ${version}: container networking behind the CNI protocol
CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}

Container runtimes run it as a CNI plugin, with CNI_COMMAND in the environment and a network configuration on
standard input. By hand:

${commands.map((command) => `  ${style('bold', `podlink ${command.name}`)}${' '.repeat(20 - command.name.length)}  ${command.summary}`).join('\n')}

"podlink help COMMAND" tells more of one. Exit status: 0 all is well, 1 something was found or failed, 2 wrong usage.
`;
}

/** What `podlink COMMAND --help` prints, without a newline at its end. */
export function formatCommandHelp(command: Command, style: Style): string {
  const options = optionsOf(command);
  const texts = options.map((option) => ({ text: optionText(option), summary: option.summary }));
  const width = Math.max(...texts.map(({ text }) => text.length));
  return [
    ...wrap(`${capitalize(command.summary)}.`, WIDTH),
    '',
    `${style('bold', 'usage:')} podlink ${[command.name, '[OPTIONS]', ...command.arguments.map(argumentText)].join(' ')}`,
    ...(command.description ? ['', ...command.description.split('\n').flatMap((line) => wrap(line, WIDTH))] : []),
    '',
    style('bold', 'options:'),
    ...texts.map(({ text, summary }) => `  ${text.padEnd(width)}  ${summary}`),
  ].join('\n');
}

/** All options of a command, those that every one has last. */
export function optionsOf(command: Command): readonly OptionSpec[] {
  return [...command.options, ...(command.hasJson === false ? [] : [JSON_OPTION]), HELP];
}

function optionText({ name, short, value }: OptionSpec): string {
  return `${short ? `-${short}, ` : '    '}--${name}${value === undefined ? '' : ` ${value}`}`;
}

function argumentText({ name, isRequired, isRepeated }: ArgumentSpec): string {
  const text = isRepeated ? `${name}...` : name;
  return isRequired ? text : `[${text}]`;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
