// The operator's command line: what the executable does when no runtime calls it (CNI_COMMAND is not set).
//
// Exit status: 0 when all is well, 1 when something was found that has to be dealt with or the command could not be
// carried out, 2 when it was called in a wrong way. The report goes to standard output, everything else to standard
// error. Loaded only then, and with it all that the commands need.

import type { ParseArgsConfig } from 'node:util';
import { isErrno } from '../../kernel/errno.ts';
import { toCniError } from '../../protocol/errors.ts';
import { Context } from '../../verbs/context.ts';
import { type Call, type Command, CommandError, type Report, type Surroundings, UsageError } from './command.ts';
import { COMMANDS } from './command-table.ts';
import { nearestWord, suggest } from './spelling.ts';
import { printable, styleFor } from './text-table.ts';
import { formatCommandHelp, formatUsage } from './usage.ts';

export interface CommandOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Carry out a command given as arguments. Without one the usage goes to stderr, as the reference plugins' about text does. */
export async function runCommand(args: readonly string[], surroundings: Surroundings): Promise<CommandOutcome> {
  if (args.length === 0) return { exitCode: 0, stdout: '', stderr: formatUsage(COMMANDS, surroundings.version) };
  const warnings: string[] = [];
  const fail = (exitCode: number, message: string): CommandOutcome => ({
    exitCode,
    stdout: '',
    stderr: lines([...warnings, message]),
  });
  try {
    const { command, rest } = findCommand(withoutDashes(args));
    const { values, positionals } = parseArguments(command, rest);
    const style = styleFor(surroundings.isTerminal);
    if (values.help === true) {
      return { exitCode: 0, stdout: `${formatCommandHelp(command, style)}\n`, stderr: '' };
    }
    checkArguments(command, positionals);
    const report = await run(command, surroundings, { values, args: positionals }, (message) => {
      // Several attachments have the same to say of the node.
      if (!warnings.includes(message)) warnings.push(message);
    });
    const text = values.json === true ? JSON.stringify(report.json, undefined, 2) : report.text(style);
    return {
      exitCode: report.hasFinding ? 1 : 0,
      stdout: text === '' ? '' : `${text}\n`,
      stderr: lines(warnings),
    };
  } catch (error) {
    if (error instanceof UsageError) return fail(2, error.message);
    return fail(1, describeFailure(error));
  }
}

/** `podlink --help` and `podlink --version` are what people try first. */
function withoutDashes(args: readonly string[]): readonly string[] {
  const [first = '', ...rest] = args;
  if (first === '--help' || first === '-h') return ['help', ...rest];
  return first === '--version' || first === '-v' ? ['version', ...rest] : args;
}

/** The command of two words or one that the arguments begin with. Throws UsageError. */
function findCommand(args: readonly string[]): { command: Command; rest: readonly string[] } {
  for (const words of [2, 1]) {
    const name = args.slice(0, words).join(' ');
    const command = COMMANDS.find((candidate) => candidate.name === name);
    if (command && args.length >= words) return { command, rest: args.slice(words) };
  }
  const [first = '', second] = args;
  const family = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  const names = family.map(({ name }) => name);
  if (family.length > 0) {
    const known = names.map((name) => `"${name}"`).join(', ');
    if (second === undefined || second.startsWith('-')) throw new UsageError(`"${first}" is one of ${known}`);
    throw new UsageError(`unknown command "${first} ${second}"${suggest(`${first} ${second}`, names)} (${known})`);
  }
  const words = COMMANDS.flatMap(({ name }) => [name, firstWord(name)]);
  throw new UsageError(`unknown command "${first}"${suggest(first, words)} ("podlink help" lists them)`);
}

function firstWord(name: string): string {
  return name.split(' ')[0] ?? name;
}

type Values = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

/** Throws UsageError. */
function parseArguments(command: Command, args: readonly string[]): { values: Values; positionals: string[] } {
  const { parseArgs } = process.getBuiltinModule('node:util');
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  if (command.hasJson !== false) options.json = { type: 'boolean' };
  for (const { name, short, value, isRepeated } of command.options) {
    const type = value === undefined ? 'boolean' : 'string';
    options[name] = { type, ...(short && { short }), ...(isRepeated && { multiple: true }) };
  }
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { values: values as Values, positionals };
  } catch (error) {
    throw new UsageError(describeMisuse(command, error, Object.keys(options)));
  }
}

/** parseArgs() tells which option it is about in its first sentence; the rest of it is advice to programmers. */
function describeMisuse(command: Command, error: unknown, options: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  const help = `"podlink ${command.name} --help" tells more`;
  const unknown = /^Unknown option '(-+)([^']*)'/.exec(message);
  if (!unknown) return `${command.name}: ${message.split('. ')[0]}; ${help}`;
  const [, dashes = '', name = ''] = unknown;
  const guess = nearestWord(name, options);
  return `${command.name}: unknown option "${dashes}${name}"${guess ? `; did you mean "--${guess}"?` : ''} (${help})`;
}

/** Throws UsageError when there are too few or too many. */
function checkArguments(command: Command, positionals: readonly string[]): void {
  const specs = command.arguments;
  const missing = specs.slice(positionals.length).find(({ isRequired }) => isRequired);
  const help = `"podlink ${command.name} --help" tells more`;
  if (missing) throw new UsageError(`${command.name}: ${missing.name} is missing; ${help}`);
  const empty = positionals.indexOf('');
  if (empty >= 0) throw new UsageError(`${command.name}: ${specs[empty]?.name ?? 'an argument'} must not be empty`);
  if (positionals.length <= specs.length || specs.at(-1)?.isRepeated) return;
  throw new UsageError(
    `${command.name}: "${printable(positionals[specs.length] ?? '')}" is one argument too many; ${help}`,
  );
}

async function run(
  command: Command,
  surroundings: Surroundings,
  { values, args }: { readonly values: Values; readonly args: readonly string[] },
  warn: (message: string) => void,
): Promise<Report> {
  const context = new Context(surroundings.env, warn);
  const call: Call = {
    surroundings,
    args,
    context,
    isSet: (option) => values[option] === true,
    valueOf(option) {
      const value = values[option];
      return typeof value === 'string' ? value : undefined;
    },
    valuesOf(option) {
      const value = values[option];
      return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
    },
    warn,
  };
  try {
    return await command.run(call);
  } finally {
    context.close();
  }
}

/** What went wrong, for a person: the message, what the kernel said, and what is nearly always the cause. */
function describeFailure(error: unknown): string {
  if (error instanceof CommandError) return error.message;
  const { message, details } = toCniError(error);
  const text = details === '' || message.includes(details) ? message : `${message} (${details.split('\n')[0]})`;
  const isDenied = [error, error instanceof Error ? error.cause : undefined].some((each) =>
    isErrno(each, 'EACCES', 'EPERM'),
  );
  return isDenied && process.getuid?.() !== 0 ? `${text}: run it as root` : text;
}

function lines(messages: readonly string[]): string {
  return messages.map((message) => `podlink: ${message}\n`).join('');
}
