import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findMode } from '../../modes/mode-registry.ts';
import type { Mode } from '../../modes/mode.ts';
import { ENTRY_KEYS } from '../schema/key-schema.ts';
import { diagnose } from './configuration-diagnosis.ts';
import { error, type Fault, tell } from './fault.ts';
import { checkEmptyTexts, checkUnusedKeys, findUnknownKeys } from './key-check.ts';

const test = suite('key check');

const messagesOf = (faults: readonly Fault[]) => faults.map((fault) => tell(fault).message);
const modes = (...names: readonly string[]) =>
  names.map((name) => findMode(name)).filter((mode): mode is Mode => !!mode);

test('findUnknownKeys() matches without regard to case, looks into lists and leaves foreign sections alone', () => {
  const value = {
    BRIDGE: 'x',
    vlanTrunk: [{ id: 1 }, { ids: 2 }],
    args: { any: 1 },
    ipam: { anything: 1 },
    sysctl: { 'net.core.somaxconn': '1' },
    overrides: [{ pod: 'a/b', moed: 'host' }],
    bridg: 1,
  };
  assert.equal(messagesOf(findUnknownKeys(value, ENTRY_KEYS)), [
    'unknown key "vlanTrunk[1].ids", which is ignored; did you mean "id"?',
    'unknown key "overrides[0].moed", which is ignored; did you mean "mode"?',
    'unknown key "bridg", which is ignored; did you mean "bridge"?',
  ]);
});

test('checkEmptyTexts() tells of those that nobody has refused', () => {
  const config = { mac: '', bridge: '', ipam: { type: 'host-local', ranges: [[{ rangeEnd: '' }]] } };
  const refused = error(diagnose('value-refused', { subject: 'bridge', found: 'must be a name, is ""' }));
  assert.equal(messagesOf(checkEmptyTexts(config, [refused])), [
    '"mac" is empty, which is the same as leaving it out',
    '"ipam.ranges[0][0].rangeEnd" is empty, which is the same as leaving it out',
  ]);
});

test('checkUnusedKeys() tells of keys that none of the modes has a use for', () => {
  const config = { isGateway: true, ipMasq: false, ipam: {}, target: 'infra', log: '/x', mac: 'x', icc: null };
  const told = (...names: readonly string[]) => messagesOf(checkUnusedKeys(config, modes(...names)));
  assert.equal(told('bridge'), ['"target" has no effect in mode "bridge"']);
  assert.equal(told('host'), ['"isGateway", "target", "ipMasq" have no effect in mode "host"']);
  assert.equal(told('host', 'container'), ['"isGateway", "ipMasq" have no effect in mode "host" or "container"']);
  assert.equal(told('bridge', 'container'), []);
});

test.run();
