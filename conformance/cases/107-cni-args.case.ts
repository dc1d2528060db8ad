// CNI_ARGS that are malformed: an error where something is read from them, ignored everywhere else, and never a reason for a
// DEL to fail.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import { getLink, isUp } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('malformed CNI_ARGS');
const MALFORMED = ['none', '=x', 'IP', 'A=1;none', ';;=;', ' ', 'A=10.77.0.9;x', '{"a":1}'];
const STRICT = { differs: 'it fails a DEL and a CHECK for them', seen: /fails/ };

test('loopback does not read them', 'same', (host) => {
  const config: Config = { cniVersion: '1.0.0', name: 'lo', type: 'loopback' };
  for (const args of MALFORMED) {
    const container = host.addContainer();
    const result = mustAdd(host, { config, container, ifname: 'lo', args });
    assert.ok(isUp(getLink(container, 'lo')));
    mustPass(host, 'CHECK', { config: withPrevResult(config, result), container, ifname: 'lo', args });
    mustPass(host, 'DEL', { config, container, ifname: 'lo', args });
  }
});

test('ADD of an interface refuses them, CHECK and DEL ignore them', STRICT, (host) => {
  const config = host.config();
  const container = host.addContainer();
  const before = host.snapshot();
  for (const args of MALFORMED) mustRefuse(host, 'ADD', { config, container, args }, 4, /CNI_ARGS/);
  mustBeEmpty(host.changesSince(before), 'changed');
  for (const args of MALFORMED) {
    const result = mustAdd(host, { config, container });
    mustPass(host, 'CHECK', { config: withPrevResult(config, result), container, args });
    mustPass(host, 'DEL', { config: withPrevResult(config, result), container, args });
    mustBeEmpty(host.leftSince(before), 'left behind');
  }
});

for (const type of ['host-local', 'static']) {
  test(`${type}: ADD refuses them, CHECK and DEL ignore them`, STRICT, (host) => {
    const ipam = type === 'static' ? { type, addresses: [{ address: '10.77.0.5/24' }] } : host.hostLocal();
    const config: Config = { cniVersion: '1.0.0', name: 'pods', type: 'bridge', ipam };
    const container = host.addContainer();
    const call = { config, container, program: type };
    const before = host.snapshot();
    for (const args of MALFORMED) {
      mustRefuse(host, 'ADD', { ...call, args }, 4, /CNI_ARGS/);
      const result = mustAdd(host, call);
      mustPass(host, 'CHECK', { ...call, config: withPrevResult(config, result), args });
      mustPass(host, 'DEL', { ...call, args });
      mustBeEmpty(host.leftSince(before), 'left behind');
    }
  });
}

run();
