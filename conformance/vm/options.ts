// The command line of `npm run test:vm`, and the script that a machine runs for it.

import { parseArgs } from 'node:util';
import { KERNELS, type KernelSource } from './kernel.ts';

/** Test files that see more on these kernels than on the machine of the suite. */
const SUBJECTS = ['rtnetlink/', 'cni/modes/', 'cases/041-', 'cases/043-', 'cases/044-'];

/** The cases for kernels that lack something of nf_tables. */
const MISSING_MODULES = 'cases/149-';

export interface Options {
  readonly kernels: readonly KernelSource[];
  /** Parts of the paths of test files. */
  readonly only: readonly string[];
  /** Modules that the kernel's folder is to lack, by their names. */
  readonly without: readonly string[];
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
      'without-module': { type: 'string', multiple: true, default: [] },
      append: { type: 'string', default: '' },
      command: { type: 'string' },
    },
  });
  const unknown = values.kernel.find((version) => !KERNELS.some((kernel) => kernel.version === version));
  if (unknown !== undefined) {
    const known = KERNELS.map(({ version }) => version).join(', ');
    throw new Error(`Unknown --kernel "${unknown}": must be one of ${known}`);
  }
  const without = values['without-module'];
  const strange = without.find((name) => !/^\w+$/.test(name));
  if (strange !== undefined) throw new Error(`Invalid --without-module "${strange}": must be the name of a module`);
  const isWanted = ({ version }: KernelSource): boolean =>
    values.kernel.length === 0 || values.kernel.includes(version);
  return {
    kernels: KERNELS.filter(isWanted),
    only: values.only.length > 0 ? values.only : without.length > 0 ? [MISSING_MODULES] : SUBJECTS,
    without,
    words: values.append,
    command: values.command,
  };
}

/**
 * A module that nobody loads by need: nodes of Kubernetes have it, and the rules of IP then see bridged packets. Others make
 * links when they are loaded, which the test runner would find left behind.
 */
const LOAD_MODULES = 'modprobe br_netfilter; modprobe ifb numifbs=0; modprobe dummy numdummies=0\n';
/** Emulated processors take ten times as long: no test may take that for silence. */
const ALLOW_FOR_EMULATION = 'export CONFORMANCE_SLOWNESS=10\n';

/** The shell script that the machine runs in the project's folder. */
export function scriptOf({ only, command, without }: Pick<Options, 'only' | 'command' | 'without'>): string {
  const prepare = `${without.length > 0 ? removalOf(without) : ''}${LOAD_MODULES}`;
  if (command !== undefined) return `${prepare}${command}\n`;
  const filters = only.map((text) => `--only '${text.replaceAll("'", "'\\''")}'`).join(' ');
  return `${prepare}${ALLOW_FOR_EMULATION}exec node conformance/suite/run.ts kernel conformance --file-minutes 50 ${filters}\n`;
}

/**
 * Take the files of modules away, so that nobody can load them; the kernel's lists of modules name them still. (The machine
 * writes to a copy of the image.)
 */
function removalOf(modules: readonly string[]): string {
  // A file may be spelled with "-" where the module has "_".
  const names = modules.map((name) => `-name '${name.replaceAll('_', '[-_]')}.ko*'`).join(' -o ');
  return `find /usr/lib/modules \\( ${names} \\) -print -delete\nexport CONFORMANCE_WITHOUT_MODULES='${modules.join(' ')}'\n`;
}
