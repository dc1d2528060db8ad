// Texts that are empty: what they stand for is the same as leaving the key out, as the reference reads them, and `validate`
// says so. An empty `ipam.type` is a network of layer 2 only.

import { existsSync, rmSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import { mustEnd } from '../harness/operator-command.ts';
import { addressesOf } from '../harness/referee.ts';
import { mustAdd, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';

// The default directory is the machine's own.
enterOwnMachine();
const { test, run } = cases('empty texts');

const WITHOUT: readonly (readonly [string, object | undefined])[] = [
  ['an empty type', { type: '' }],
  ['nothing in ipam', {}],
  ['null as type', { type: null }],
  ['an empty TYPE', { TYPE: '' }],
  ['no ipam', undefined],
];
for (const [what, ipam] of WITHOUT) {
  test(`${what}: an interface without address, and CHECK and DEL of it`, {
    differs: 'its CHECK of such a network always fails',
    seen: /CHECK fails/,
  }, (host) => {
    const { ipam: _, ...bare } = host.config();
    const config: Config = ipam === undefined ? bare : { ...bare, ipam };
    const container = host.addContainer();
    const result = mustAdd(host, { config, container });
    assert.is(result.ips, undefined);
    assert.equal(addressesOf(container, 'eth0'), []);
    mustPass(host, 'CHECK', { config: withPrevResult(config, result), container });
    mustPass(host, 'DEL', { config, container });
  });
}

test('an empty type beside other keys is a type that was forgotten', {
  differs: 'it makes an interface without address',
  seen: /not refused/,
}, (host) => {
  const config = host.config({ ipam: { type: '', subnet: '10.77.0.0/24' } });
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 7, /"ipam\.type": must name an IPAM plugin/);
});

test('an empty dataDir is the default', 'same', (host) => {
  const name = `empty-texts-${process.pid}`;
  const directories = [`/var/lib/cni/networks/${name}`, `/var/lib/cni/networks/.podlink/${name}`];
  const ipam = { type: 'host-local', subnet: '10.77.0.0/24', dataDir: '', resolvConf: '', rangeStart: '', gateway: '' };
  const config: Config = { cniVersion: '1.0.0', name, type: 'bridge', ipam };
  const container = host.addContainer();
  try {
    mustAdd(host, { config, container, program: 'host-local' });
    assert.ok(existsSync(`${directories[0]}/10.77.0.2`));
    mustPass(host, 'DEL', { config, container, program: 'host-local' });
  } finally {
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  }
});

test('validate names each of them', { absent: 'validate' }, (host) => {
  const entry = {
    ...{ type: 'podlink', bridge: '', mac: '', mode: '', log: '', ipMasqBackend: '' },
    ipam: { type: 'host-local', dataDir: '', resolvConf: '', ranges: [[{ subnet: '10.1.0.0/24', rangeEnd: '' }]] },
  };
  const list = JSON.stringify({ cniVersion: '1.0.0', name: 'a', plugins: [entry] });
  const { stdout } = mustEnd(host, ['validate', '--no-kernel', '--strict', '-'], 1, list);
  assert.match(stdout, /"ipam\.dataDir" is empty, .*: reservations are in \/var\/lib\/cni\/networks/);
  for (const path of ['mac', 'log', 'ipMasqBackend', 'ipam\\.resolvConf', 'ipam\\.ranges\\[0\\]\\[0\\]\\.rangeEnd']) {
    assert.match(stdout, new RegExp(`"${path}" is empty, which is the same as leaving it out`));
  }
  // These are refused, so that is all there is to say.
  for (const path of ['bridge', 'mode']) {
    assert.match(stdout, new RegExp(`error .*Invalid "${path}": must be .*, is ""`));
    assert.not.match(stdout, new RegExp(`"${path}" is empty`));
  }
});

run();
