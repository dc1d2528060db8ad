// `npm run test:vm`: runs kernel tests and conformance cases on distribution kernels, in virtual machines. The machine
// that the suite itself runs on may lack what a kernel can do: VLAN filtering, SCTP, other versions' behaviour.
//
// usage: node conformance/vm/run.ts [--kernel VERSION]... [--only TEXT]... [--without-module NAME]... [--append WORDS]
//                                   [--command SHELL]
//
//   --kernel VERSION        only these of the table in kernel.ts; all of them otherwise
//   --only TEXT             test files whose path holds one of the texts; those of options.ts otherwise
//   --without-module NAME   a module that cannot be loaded: nf_tables, nft_masq, …; runs the case about that
//   --append WORDS          further words for the kernel, e.g. ipv6.disable=1
//   --command SHELL         run this in the project's folder instead of the tests
//
// Prints one line a kernel: its release, passed, failed, skipped, seconds. Exit code 1 if anything failed on one of them.

import { ensureKernel, type KernelSource } from './kernel.ts';
import { runMachine } from './machine.ts';
import { requirePrograms } from './needs.ts';
import { type Options, parseOptions, scriptOf } from './options.ts';
import { outcomeOf } from './outcome.ts';
import { withProjectImage } from './project.ts';
import { ensureRoot } from './root.ts';

/** QEMU's emulation takes ten times as long as the processor, longer on a busy machine. */
const TIMEOUT_MS = 60 * 60_000;

async function testOn(source: KernelSource, options: Options, root: string, project: string): Promise<boolean> {
  const kernel = ensureKernel(source);
  console.log(`\nLinux ${kernel.release}`);
  const started = performance.now();
  const ended = await runMachine({
    kernel,
    root,
    project,
    words: options.words,
    timeoutMs: TIMEOUT_MS,
    onOutput: (text) => process.stdout.write(text),
  });
  const seconds = Math.round((performance.now() - started) / 1000);
  const outcome = outcomeOf(ended.output);
  const counts = outcome
    ? `${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped`
    : `exit code ${ended.exitCode}`;
  summary.push(`${kernel.release}: ${counts}, ${seconds} s`);
  return ended.exitCode === 0;
}

const summary: string[] = [];
// Whoever interrupts this wants the machine and the images gone as well.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

try {
  const options = parseOptions(process.argv.slice(2));
  requirePrograms();
  const root = ensureRoot();
  await withProjectImage(scriptOf(options), async (project) => {
    for (const kernel of options.kernels) {
      try {
        if (!(await testOn(kernel, options, root, project))) process.exitCode = 1;
      } catch (error) {
        process.exitCode = 1;
        summary.push(`${kernel.version}: ${error instanceof Error ? error.message : error}`);
      }
    }
  });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
if (summary.length > 0) console.log(`\n${summary.join('\n')}`);
