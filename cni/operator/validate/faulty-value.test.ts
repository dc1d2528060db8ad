import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isConsequence, MutableConfig } from './faulty-value.ts';

const test = suite('faulty value');

test('remove() takes out a key, in whatever case, and leaves the original alone', () => {
  const original = { ipMasq: 1, mtu: 2 };
  const copy = new MutableConfig(original);
  assert.ok(copy.remove('ipmasq'));
  assert.equal(copy.value, { mtu: 2 });
  assert.equal(original, { ipMasq: 1, mtu: 2 });
});

test('remove() takes out items of lists, and originalPath() tells where later ones were at first', () => {
  const copy = new MutableConfig({ ipam: { ranges: [['a'], ['b', 'c'], ['d']] } });
  assert.ok(copy.remove('ipam.ranges[1][0]'));
  assert.is(copy.originalPath('ipam.ranges[1][0]'), 'ipam.ranges[1][1]');
  assert.ok(copy.remove('ipam.ranges[0]'));
  assert.is(copy.originalPath('ipam.ranges[1]'), 'ipam.ranges[2]');
  assert.is(copy.originalPath('ipam.ranges[0][0].subnet'), 'ipam.ranges[1][1].subnet');
  assert.equal(copy.value, { ipam: { ranges: [['c'], ['d']] } });
});

test('remove() of what is missing takes out what it is missing in', () => {
  const copy = new MutableConfig({ ranges: [{ gateway: 'x' }, { subnet: 'y' }] });
  assert.ok(copy.remove('ranges[0].subnet'));
  assert.equal(copy.value, { ranges: [{ subnet: 'y' }] });
});

test('remove() finds keys that hold dots themselves', () => {
  const copy = new MutableConfig({ sysctl: { 'net.core.somaxconn': '1', net: '2' } });
  assert.ok(copy.remove('sysctl.net.core.somaxconn'));
  assert.equal(copy.value, { sysctl: { net: '2' } });
});

test('remove() is false when nothing leads there', () => {
  const copy = new MutableConfig({ a: 1 });
  assert.not(copy.remove('ranges[0]'));
  assert.equal(copy.value, { a: 1 });
});

test('isConsequence() knows what lies above something that was taken out', () => {
  const removed = ['ipam.ranges[1][0].subnet'];
  for (const path of ['ipam.ranges[1][0].subnet', 'ipam.ranges[1]', 'ipam', 'ipam.ranges'])
    assert.ok(isConsequence(path, removed), path);
  for (const path of ['ipam.ranges[1][0].gateway', 'ipam.range', 'ipam.ranges[10]', 'mtu'])
    assert.not(isConsequence(path, removed), path);
});

test.run();
