// The operator's command line, run on a host as a person would.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Output, run } from './command.ts';
import type { Config } from './document.ts';
import type { Host } from './host.ts';

/** The reference plugins have no commands. */
export const NO_COMMANDS = { absent: 'commands for the operator' } as const;

/** Run `podlink ARGS` on the host. Its directories are named to commands that look at the node's otherwise. */
export function podlink(host: Host, args: readonly string[], input = ''): Output {
  const program = join(host.pluginFolder, 'podlink');
  const env = { PODLINK_RUN_DIR: host.runDir, PATH: '/usr/bin:/bin' };
  return run('nsenter', [...host.namespace.enterArgs(), program, ...args], { input, env });
}

/** Likewise; it must succeed and say nothing on standard error. */
export function mustSay(host: Host, args: readonly string[], input = ''): string {
  return mustEnd(host, args, 0, input).stdout;
}

/** Likewise; it must end with this exit code. */
export function mustEnd(host: Host, args: readonly string[], code: number, input = ''): Output {
  const output = podlink(host, args, input);
  assert.is(output.code, code, `podlink ${args.join(' ')}: ${output.stdout}${output.stderr}`);
  if (code === 0) assert.is(output.stderr, '', `podlink ${args.join(' ')}`);
  return output;
}

/** What a command prints with `--json`. */
export function mustTell<Value>(host: Host, args: readonly string[], code = 0): Value {
  return JSON.parse(mustEnd(host, [...args, '--json'], code).stdout) as Value;
}

/** The directory of network configurations, with a list for each of these in it. */
export function writeConfDir(host: Host, configs: readonly Config[]): string {
  const dir = join(host.folder, 'net.d');
  mkdirSync(dir, { recursive: true });
  for (const { cniVersion, name, ...plugin } of configs) {
    writeFileSync(join(dir, `10-${name}.conflist`), JSON.stringify({ cniVersion, name, plugins: [plugin] }));
  }
  return dir;
}
