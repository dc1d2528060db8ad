// What the bench ran on: figures of another machine mean nothing without it.

import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { mustRun } from '../harness/command.ts';
import { Host } from '../harness/host.ts';
import { EXECUTABLE } from '../harness/plugin.ts';
import { Caller } from './caller.ts';
import { netavarkVersion } from './netavark.ts';
import type { Facts } from './report.ts';
import type { SectionName } from './section.ts';
import { medianOf } from './statistics.ts';

const STARTS = 20;
const HZ_CHOICES = [100, 250, 300, 1000];

/**
 * Find out everything that is said above the table. Called outside of the machine of its own, which knows no Debian
 * packages. `folder`: where reservations will be written.
 */
export async function factsOf(sections: readonly SectionName[], folder: string): Promise<Facts> {
  const processors = cpus();
  const has = (name: SectionName) => sections.includes(name);
  return [
    ['processors', `${processors.length} × ${processors[0]?.model ?? 'unknown'}`],
    ['kernel', `${release()}, HZ=${await hz()}, rcu_expedited=${read('/sys/kernel/rcu_expedited') || 'unknown'}`],
    ['load when it began', loadavg()[0]?.toFixed(1) ?? 'unknown'],
    ['reservations on', mustRun('stat', ['-f', '-c', '%T', folder]).trim()],
    ['podlink', podlinkVersion()],
    ['reference plugins', `${packageVersion('containernetworking-plugins')} with ${iptablesVersion()}`],
    ...(has('sandbox') ? [['containerd', packageVersion('containerd')] as const] : []),
    ...(has('netavark') ? [['netavark', netavarkVersion().replace(/^netavark /, '')] as const] : []),
  ];
}

/** Ticks a second, on which the kernel's waits depend: of its configuration, or else counted for a second. */
async function hz(): Promise<string> {
  const config = existsSync('/proc/config.gz')
    ? gunzipSync(readFileSync('/proc/config.gz')).toString()
    : read(`/boot/config-${release()}`);
  const configured = /^CONFIG_HZ=(\d+)$/m.exec(config)?.[1];
  if (configured !== undefined) return configured;
  const [started, before] = [performance.now(), jiffies()];
  await sleep(1000);
  const counted = ((jiffies() - before) * 1000) / (performance.now() - started);
  return String(HZ_CHOICES.find((choice) => Math.abs(counted / choice - 1) < 0.1) ?? 'unknown');
}

function jiffies(): number {
  return Number(/^jiffies: (\d+)$/m.exec(read('/proc/timer_list'))?.[1]);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return ''; // not every kernel has it; the caller says so
  }
}

function packageVersion(name: string): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the format is dpkg-query's own
  return mustRun('dpkg-query', ['-W', '-f', '${Version}', name]).trim();
}

function podlinkVersion(): string {
  return /^podlink (\S+)/.exec(mustRun(EXECUTABLE, ['version']))?.[1] ?? 'unknown';
}

function iptablesVersion(): string {
  return mustRun('iptables', ['--version'])
    .trim()
    .replace(/ v(?=\d)/, ' ');
}

/** Measure what each program of a chain costs before it does anything, in ms. */
export async function priceOfStart(): Promise<number> {
  const host = new Host();
  try {
    const caller = await Caller.start(host.namespace);
    const times: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      const batch = await caller.run([{ calls: [{ program: '/bin/true', env: {}, input: {} }], handsOn: false }]);
      times.push(batch.ms);
    }
    await caller.stop();
    return medianOf(times);
  } finally {
    host.remove();
  }
}
