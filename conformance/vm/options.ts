// The command line of `npm run test:vm`, and the script that a machine runs for it.

import { parseArgs } from 'node:util';
import { KERNELS, type KernelSource } from './kernel.ts';

/** Test files that see more on these kernels than on the machine of the suite. */
const SUBJECTS = ['rtnetlink/', 'cni/modes/', 'cases/041-', 'cases/043-', 'cases/044-'];

export interface Options {
  readonly kernels: readonly KernelSource[];
  /** Parts of the paths of test files. */
  readonly only: readonly string[];
  /** Further words for the kernel. */
  readonly words: string;
  /** Run instead of the tests. */
  readonly command: string | undefined;
}

/** Read the arguments. Throws Error with what is wrong with them. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kernel: { type: 'string', multiple: true, default: [] },
      only: { type: 'string', multiple: true, default: [] },
      append: { type: 'string', default: '' },
      command: { type: 'string' },
    },
  });
  const unknown = values.kernel.find((version) => !KERNELS.some((kernel) => kernel.version === version));
  if (unknown !== undefined) {
    const known = KERNELS.map(({ version }) => version).join(', ');
    throw new Error(`Unknown --kernel "${unknown}": must be one of ${known}`);
  }
  const isWanted = ({ version }: KernelSource): boolean =>
    values.kernel.length === 0 || values.kernel.includes(version);
  return {
    kernels: KERNELS.filter(isWanted),
    only: values.only.length === 0 ? SUBJECTS : values.only,
    words: values.append,
    command: values.command,
  };
}

/** A module that nobody loads by need: nodes of Kubernetes have it, and the rules of IP then see bridged packets. */
const LOAD_MODULES = 'modprobe br_netfilter; modprobe ifb numifbs=0\n';
/** Emulated processors take ten times as long: no test may take that for silence. */
const ALLOW_FOR_EMULATION = 'export CONFORMANCE_SLOWNESS=10\n';

/** The shell script that the machine runs in the project's folder. */
export function scriptOf({ only, command }: Pick<Options, 'only' | 'command'>): string {
  if (command !== undefined) return `${LOAD_MODULES}${command}\n`;
  const filters = only.map((text) => `--only '${text.replaceAll("'", "'\\''")}'`).join(' ');
  return `${LOAD_MODULES}${ALLOW_FOR_EMULATION}exec node conformance/suite/run.ts kernel conformance --file-minutes 50 ${filters}\n`;
}
