// One call is one process: nothing is executed and nothing forked, whatever the network needs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { attachBesideNeighbour } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Command, Host, Invocation } from '../harness/host.ts';
import { mustAdd, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('one process');
const FORKS: Reference = { differs: 'it executes its IPAM plugin, and iptables', seen: /executes/ };

/** Run a call and fail unless it executes one program only and starts threads only. */
function mustBeOneProcess(host: Host, command: Command, invocation: Invocation): void {
  const trace = join(host.folder, 'trace');
  const under = ['strace', '-f', '-qq', '-e', 'trace=execve,execveat,clone,clone3,fork,vfork', '-o', trace];
  const { code, stdout, stderr } = host.invoke(command, { ...invocation, under });
  assert.is(code, 0, `${command} fails: ${stdout}${stderr}`);
  const lines = readFileSync(trace, 'utf8').split('\n').filter(Boolean);
  const executed = lines.filter((line) => /\bexecve(at)?\(/.test(line));
  assert.is(executed.length, 1, `${command} executes ${executed.length} programs:\n${executed.join('\n')}`);
  const started = lines.filter((line) => /\b(clone3?|v?fork)\(/.test(line));
  const processes = started.filter((line) => !line.includes('CLONE_THREAD'));
  assert.equal(processes, [], `${command} starts processes`);
}

test('ADD, CHECK and DEL of a dual-stack pod with masquerading', FORKS, (host) => {
  const { config } = attachBesideNeighbour(host);
  const container = host.addContainer('traced');
  mustBeOneProcess(host, 'ADD', { config, container });
  mustBeOneProcess(host, 'DEL', { config, container });
  const later = withPrevResult(config, mustAdd(host, { config, container }));
  mustBeOneProcess(host, 'CHECK', { config: later, container });
  mustBeOneProcess(host, 'DEL', { config: later, container });
});

test('the first ADD of a host, which makes bridge and table', FORKS, (host) => {
  const config = host.config({ isDefaultGateway: true, ipMasq: true, hairpinMode: true });
  mustBeOneProcess(host, 'ADD', { config, container: host.addContainer() });
});

test('ADD with static addresses', FORKS, (host) => {
  const config = host.config({ ipam: { type: 'static', addresses: [{ address: '10.77.0.9/24' }] } });
  mustBeOneProcess(host, 'ADD', { config, container: host.addContainer() });
});

test('VERSION, STATUS and GC', { absent: 'STATUS and GC' }, (host) => {
  const config = host.config({ cniVersion: '1.1.0' });
  mustBeOneProcess(host, 'VERSION', { config });
  mustBeOneProcess(host, 'STATUS', { config });
  mustBeOneProcess(host, 'GC', { config: { ...config, 'cni.dev/valid-attachments': [] } });
});

test('ADD, CHECK and DEL as loopback', 'same', (host) => {
  const config = { cniVersion: '1.0.0', name: 'lo', type: 'loopback' };
  const container = host.addContainer();
  for (const command of ['ADD', 'CHECK', 'DEL'] as const) {
    mustBeOneProcess(host, command, { config, container, ifname: 'lo' });
  }
});

run();
