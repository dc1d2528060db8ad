// A virtual machine of QEMU's without KVM and without a network card: boots, runs the project's script, turns itself off.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import type { Kernel } from './kernel.ts';
import { EXIT_LINE } from './root.ts';

const MEMORY_MEBIBYTES = 3072;
const PROCESSORS = 2;
const BOOT_WORDS = 'console=ttyS0 quiet panic=-1 mitigations=off no_timer_check';

export interface Boot {
  readonly kernel: Kernel;
  readonly root: string;
  readonly project: string;
  /** Further words for the kernel. */
  readonly words: string;
  readonly timeoutMs: number;
  /** Called with the command's output as it comes. */
  readonly onOutput: (text: string) => void;
}

export interface Ended {
  readonly exitCode: number;
  readonly output: string;
}

/** Boot a machine and wait for its end. Throws Error with the kernel's last words when the command did not come to its end. */
export async function runMachine(boot: Boot): Promise<Ended> {
  const work = mkdtempSync(join(cacheFolder(), 'machine-'));
  const consoleFile = join(work, 'console');
  const machine = spawn('qemu-system-x86_64', argumentsOf(boot, consoleFile), { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): void => void machine.kill('SIGKILL');
  process.once('exit', kill);
  const timer = setTimeout(kill, boot.timeoutMs);
  let output = '';
  let complaints = '';
  machine.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    boot.onOutput(text);
  });
  machine.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  try {
    const [code, signal] = await once(machine, 'close');
    const exitCode = EXIT_LINE.exec(output)?.[1];
    if (exitCode !== undefined) return { exitCode: Number(exitCode), output };
    const lastWords = readFileSync(consoleFile, 'utf8').trimEnd().split('\n').slice(-20).join('\n');
    const end = signal === 'SIGKILL' ? `was stopped after ${boot.timeoutMs / 60_000} minutes` : `ended with ${code}`;
    throw new Error(`The machine ${end}. ${complaints}\n${lastWords}`);
  } finally {
    clearTimeout(timer);
    process.off('exit', kill);
    rmSync(work, { recursive: true, force: true });
  }
}

function argumentsOf({ kernel, root, project, words }: Boot, consoleFile: string): string[] {
  const disks = [root, kernel.modules, project].flatMap((file, i) => [
    // Writes go to a temporary file: the images in the cache stay as they are.
    ...['-drive', `if=none,id=disk${i},file=${file},format=raw,snapshot=on`],
    ...['-device', `virtio-blk-pci,drive=disk${i}`],
  ]);
  return [
    ...['-machine', 'q35', '-cpu', 'max', '-accel', 'tcg,thread=multi'],
    ...['-smp', String(PROCESSORS), '-m', String(MEMORY_MEBIBYTES)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-serial', `file:${consoleFile}`, '-serial', 'stdio'],
    ...['-kernel', kernel.image, '-initrd', kernel.initialRamDisk, '-append', `${BOOT_WORDS} ${words}`.trim()],
    ...disks,
  ];
}
