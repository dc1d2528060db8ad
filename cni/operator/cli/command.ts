// A command of the operator's command line. The table of them all is command-table.ts.

import type { Environment } from '../../protocol/request.ts';
import type { Context } from '../../verbs/context.ts';
import type { Style } from './text-table.ts';

/** The surroundings of a command; main.ts knows them. */
export interface Surroundings {
  /** Of podlink. */
  readonly version: string;
  readonly env: Environment;
  /** Whether standard output is a terminal that may be coloured. */
  readonly isTerminal: boolean;
  readStdin(): string;
}

/** An argument that is no option. The last one of a command may be repeated. */
export interface ArgumentSpec {
  /** As the usage shows it: `FILE`. */
  readonly name: string;
  readonly isRequired: boolean;
  readonly isRepeated?: boolean;
  readonly completes?: Completion;
}

export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  readonly summary: string;
  /** As the usage shows it: `DIR`. An option without one is a switch. */
  readonly value?: string;
  /** Whether it may be given several times, each with a value of its own. */
  readonly isRepeated?: boolean;
  readonly completes?: Completion;
}

/** The words that a shell offers in the place of a value: names of files or directories, or these words. */
export type Completion = 'file' | 'directory' | readonly string[];

/** A command as it was typed, its options and arguments checked against the table. */
export interface Call {
  readonly surroundings: Surroundings;
  readonly args: readonly string[];
  readonly context: Context;
  /** Whether a switch was given. */
  isSet(option: string): boolean;
  /** The value of an option; undefined when it was not given. */
  valueOf(option: string): string | undefined;
  /** The values of an option that may be repeated, in their order. */
  valuesOf(option: string): readonly string[];
  /** Say on standard error what does not keep the command from going on. */
  warn(message: string): void;
}

/** The report of a command. */
export interface Report {
  /** For programs: `--json` prints it. */
  readonly json: unknown;
  /** For people, without a newline at the end; nothing is printed when it is empty. */
  text(style: Style): string;
  /** Whether something was found that somebody has to deal with: exit status 1. */
  readonly hasFinding?: boolean;
}

export interface Command {
  /** One word or two: `network ls`. */
  readonly name: string;
  readonly summary: string;
  /** More about it, for its own help. */
  readonly description?: string;
  readonly arguments: readonly ArgumentSpec[];
  /** Besides `--help`, and `--json` unless hasJson is false. */
  readonly options: readonly OptionSpec[];
  /** False for a command whose output is meant for a person or a shell alone. */
  readonly hasJson?: false;
  run(call: Call): Report | Promise<Report>;
}

/** The command was called in a way it does not know: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The thing that was asked for is not there, or cannot be had: exit status 1, nothing but the message. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export const CONF_DIR_OPTION: OptionSpec = {
  name: 'conf-dir',
  value: 'DIR',
  summary: 'where the network configurations are (default /etc/cni/net.d)',
  completes: 'directory',
};

export const BIN_DIR_OPTION: OptionSpec = {
  name: 'bin-dir',
  value: 'DIR',
  summary: 'where the CNI plugins are (default /opt/cni/bin, /usr/lib/cni)',
  completes: 'directory',
};

export const NETWORK_OPTION: OptionSpec = {
  name: 'network',
  value: 'NAME',
  summary: 'only of this network',
};

const DEFAULT_BIN_DIRS = ['/opt/cni/bin', '/usr/lib/cni'];

/** The directories of plugins that a command was told of, or CNI_PATH, or the usual ones. */
export function binDirsOf(call: Call): readonly string[] {
  const dir = call.valueOf(BIN_DIR_OPTION.name);
  if (dir !== undefined) return [dir];
  const path = (call.surroundings.env.CNI_PATH ?? '').split(':').filter((entry) => entry !== '');
  return path.length > 0 ? path : DEFAULT_BIN_DIRS;
}
