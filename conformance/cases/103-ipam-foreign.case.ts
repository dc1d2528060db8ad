// An IPAM type that is not built in is another plugin in CNI_PATH: executed as the specification says, its answer
// checked, and its DEL called when it fails or when its answer is of no use.

import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { attachBesideNeighbour, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { REFERENCE_FOLDER } from '../harness/plugin.ts';
import { addressesOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('foreign IPAM');
const LEAVES: Reference = {
  differs: 'it leaves links, and does not call DEL',
  seen: /left behind|calls of the plugin/,
};

/** Put a plugin into CNI_PATH that writes down each call, and then does what the shell script says for ADD. */
function installFake(host: Host, onAdd: string, otherwise = 'exit 0'): void {
  const path = join(host.pluginFolder, 'fake-ipam');
  const log = join(host.folder, 'calls');
  const script = `#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_PATH $CNI_ARGS" >> ${log}
cat > ${host.folder}/stdin.$CNI_COMMAND
if [ "$CNI_COMMAND" = ADD ]; then
${onAdd}
else
${otherwise}
fi
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
}

function callsOf(host: Host): string[] {
  const log = join(host.folder, 'calls');
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
}

function commandsOf(host: Host): (string | undefined)[] {
  return callsOf(host).map((line) => line.split(' ')[0]);
}

function answer(document: object): string {
  return `cat <<'END'\n${JSON.stringify(document)}\nEND`;
}

function fakeConfig(host: Host, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ipam: { type: 'fake-ipam', own: ['key', 1] }, ...more });
}

const GOOD = {
  cniVersion: '1.0.0',
  ips: [
    { address: '10.66.0.7/24', gateway: '10.66.0.1' },
    { address: 'fd00:66::7/64', gateway: 'fd00:66::1' },
  ],
  routes: [{ dst: '198.51.100.0/24' }],
  dns: { nameservers: ['192.0.2.53'] },
};

test('its addresses, routes and DNS are used; it gets the call as it came', {
  differs: "its bridge drops IPAM's DNS (containernetworking/plugins#733)",
  seen: /nameservers/,
}, (host) => {
  installFake(host, answer(GOOD));
  const config = fakeConfig(host);
  const container = host.addContainer();
  const result = mustAdd(host, { config, container, args: 'IgnoreUnknown=1;K8S_POD_NAME=x' });
  assert.equal(
    result.ips?.map(({ address }) => address),
    ['10.66.0.7/24', 'fd00:66::7/64'],
  );
  assert.equal(result.dns, GOOD.dns);
  assert.equal(addressesOf(container, 'eth0'), ['10.66.0.7/24', 'fd00:66::7/64']);
  assert.ok(canPing(container, '10.66.0.1'));
  const [call] = callsOf(host);
  assert.is(call, `ADD ${container.name} eth0 ${container.path} ${host.pluginFolder} IgnoreUnknown=1;K8S_POD_NAME=x`);
  const sent = JSON.parse(readFileSync(join(host.folder, 'stdin.ADD'), 'utf8')) as Config;
  assert.equal(sent.ipam, config.ipam);
  assert.is(sent.name, config.name);

  const later = withPrevResult(config, result);
  mustPass(host, 'CHECK', { config: later, container });
  mustPass(host, 'DEL', { config: later, container });
  assert.equal(commandsOf(host), ['ADD', 'CHECK', 'DEL']);
});

test('an older answer is understood', 'same', (host) => {
  installFake(host, answer({ cniVersion: '0.2.0', ip4: { ip: '10.66.0.8/24', gateway: '10.66.0.1' } }));
  const container = host.addContainer();
  const config = fakeConfig(host, { cniVersion: '0.2.0' });
  assert.is(mustAdd(host, { config, container }).ip4?.ip, '10.66.0.8/24');
  assert.equal(addressesOf(container, 'eth0'), ['10.66.0.8/24']);
});

test("the reference's host-local under another name works like ours", 'same', (host) => {
  copyFileSync(join(REFERENCE_FOLDER, 'host-local'), join(host.pluginFolder, 'other-local'));
  const ipam = { ...host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), type: 'other-local' };
  const attached = attachBesideNeighbour(host, { ipam, ipMasq: false });
  assert.equal(addressesOf(attached.pod, 'eth0'), ['10.77.0.3/24', 'fd00:77::3/64']);
  mustPass(host, 'CHECK', { config: attached.later, container: attached.pod });
  assert.ok(canPing(attached.pod, '10.77.0.2'));
  mustPass(host, 'DEL', { config: attached.later, container: attached.pod });
  mustBeAsBefore(host, attached);
});

const fails = (document: object, status = 1): string => `${answer(document)}\nexit ${status}`;
const HOSTILE: readonly (readonly [string, string, number, RegExp])[] = [
  [
    'last words on stderr',
    'echo "panic: no lease" >&2; exit 2',
    103,
    /fake-ipam failed \(ADD\): exit status 2: panic: no lease/,
  ],
  ['no output at all', 'exit 0', 103, /fake-ipam returned no valid result/],
  ['rubbish', 'echo "address: 10.66.0.7"', 103, /fake-ipam returned no valid result/],
  ['JSON cut off', 'echo \'{"ips": [{"addre\'', 103, /fake-ipam returned no valid result/],
  ['a list', answer([GOOD]), 103, /fake-ipam returned no valid result/],
  ['no ips', answer({ cniVersion: '1.0.0' }), 103, /fake-ipam returned missing IP config/],
  ['empty ips', answer({ cniVersion: '1.0.0', ips: [] }), 103, /fake-ipam returned missing IP config/],
  ['ips of another type', answer({ cniVersion: '1.0.0', ips: 'all' }), 103, /fake-ipam returned no valid result.*ips/],
  ['an address that is none', answer({ ...GOOD, ips: [{ address: '10.66.0.777/24' }] }), 103, /10\.66\.0\.777/],
  ['an address without prefix', answer({ ...GOOD, ips: [{ address: '10.66.0.7' }] }), 103, /10\.66\.0\.7/],
  ['a gateway that is none', answer({ ...GOOD, ips: [{ address: '10.66.0.7/24', gateway: 'up' }] }), 103, /gateway/],
  ['a route that is none', answer({ ...GOOD, routes: [{ dst: 'everywhere' }] }), 103, /everywhere/],
  ['an exit status alone', 'exit 3', 103, /fake-ipam failed \(ADD\): exit status 3/],
  ['its own end by a signal', 'kill -9 $$', 103, /fake-ipam failed \(ADD\): SIGKILL/],
  ['rubbish and an exit status', 'echo no; exit 1', 103, /fake-ipam failed \(ADD\)/],
  ['error 11', fails({ cniVersion: '1.0.0', code: 11, msg: 'none left', details: 'x' }), 11, /none left/],
  ['error 999', fails({ cniVersion: '1.0.0', code: 999, msg: 'did not work' }), 103, /did not work/],
  ['an error of its own', fails({ cniVersion: '1.0.0', code: 120, msg: 'my own' }), 103, /my own/],
];
test('a failure, or an answer of no use: our error, its DEL called, nothing left', LEAVES, (host) => {
  const config = fakeConfig(host);
  const container = host.addContainer();
  const before = host.snapshot();
  let calls = 0;
  for (const [what, script, code, pattern] of HOSTILE) {
    installFake(host, script);
    mustRefuse(host, 'ADD', { config, container }, code, pattern);
    const left = host.changesSince(before).filter((line) => !/^\+ (folder |file \S+\/locks\/\S+ "")/.test(line));
    mustBeEmpty(left, `left behind after ${what}`);
    const commands = commandsOf(host).slice(calls);
    assert.is(commands[0], 'ADD');
    assert.ok(
      commands.slice(1).every((command) => command === 'DEL') && commands.length > 1,
      `calls of the plugin after ${what}: ${commands}`,
    );
    calls += commands.length;
  }
});

test('its failing DEL fails ours, and the next DEL calls it again', 'same', (host) => {
  installFake(host, answer(GOOD), '[ "$CNI_COMMAND" = DEL ] && { echo no; exit 1; }; exit 0');
  const config = fakeConfig(host);
  const container = host.addContainer();
  const later = withPrevResult(config, mustAdd(host, { config, container }));
  mustRefuse(host, 'DEL', { config: later, container }, 103, /fake-ipam failed \(DEL\)/);
  const calls = commandsOf(host).length;
  installFake(host, answer(GOOD));
  mustPass(host, 'DEL', { config: later, container });
  assert.equal(commandsOf(host).slice(calls), ['DEL']);
});

test('its failing CHECK fails ours with its words', 'same', (host) => {
  const broken = `${answer({ cniVersion: '1.0.0', code: 120, msg: 'lease lost' })}\nexit 1`;
  installFake(host, answer(GOOD), `if [ "$CNI_COMMAND" = CHECK ]; then\n${broken}\nfi`);
  const config = fakeConfig(host);
  const container = host.addContainer();
  const later = withPrevResult(config, mustAdd(host, { config, container }));
  mustRefuse(host, 'CHECK', { config: later, container }, 101, /lease lost/);
});

test('a plugin that is nowhere, or no name of one: code 7 before anything is done', 'same', (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const type of ['no-such-plugin', '../bin/host-local', '/bin/true', '..']) {
    const config = fakeConfig(host, { ipam: { type } });
    mustRefuse(host, 'ADD', { config, container }, 7, /ipam|IPAM/);
  }
  const changes = host.changesSince(before).filter((line) => !/^\+ folder |link|address|route|sysctl/.test(line));
  mustBeEmpty(changes, 'left behind');
});

test('a plugin that reads nothing of a long configuration has done nothing wrong', 'same', (host) => {
  installFake(host, answer(GOOD));
  const path = join(host.pluginFolder, 'fake-ipam');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^cat > .*$/m, ''));
  const config = fakeConfig(host, { ipam: { type: 'fake-ipam', padding: 'x'.repeat(500_000) } });
  const container = host.addContainer();
  mustAdd(host, { config, container });
  mustPass(host, 'DEL', { config, container });
});

const NO_LIMIT: Reference = { absent: 'a limit for what an IPAM plugin prints' };
test('a plugin that cannot be run, or prints without end: code 103 and why', NO_LIMIT, (host) => {
  const config = fakeConfig(host);
  const container = host.addContainer();
  installFake(host, 'exec yes');
  mustRefuse(host, 'ADD', { config, container }, 103, /fake-ipam for ADD: .*ENOBUFS/);
  chmodSync(join(host.pluginFolder, 'fake-ipam'), 0o644);
  mustRefuse(host, 'ADD', { config, container }, 103, /fake-ipam for ADD: .*EACCES/);
});

run();
