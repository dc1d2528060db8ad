// The operator's command line: what the executable does when no runtime calls it (CNI_COMMAND is not set).

import { SUPPORTED_VERSIONS } from '../protocol/version.ts';

export interface CommandOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const USAGE = `podlink ${'$VERSION'}: container networking behind the CNI protocol
CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}

Container runtimes run it as a CNI plugin, with CNI_COMMAND in the environment and a network configuration on
standard input. By hand:

  podlink version    print the version of podlink and of the protocol
  podlink help       print this text
`;

/** Carry out a command given as arguments. Without one the usage goes to stderr, as the reference plugins' about text does. */
export function runCommand(args: readonly string[], version: string): CommandOutcome {
  const usage = USAGE.replace('$VERSION', version);
  const [command] = args;
  switch (command) {
    case undefined:
      return { exitCode: 0, stdout: '', stderr: usage };
    case 'help':
    case '--help':
    case '-h':
      return { exitCode: 0, stdout: usage, stderr: '' };
    case 'version':
    case '--version':
      return {
        exitCode: 0,
        stdout: `podlink ${version}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}\n`,
        stderr: '',
      };
    default:
      return { exitCode: 2, stdout: '', stderr: `podlink: unknown command "${command}"; "podlink help" lists them\n` };
  }
}
