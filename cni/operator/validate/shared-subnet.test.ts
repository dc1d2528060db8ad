import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { messageOf } from './configuration-diagnosis.ts';
import { bridgedNetworksOf, type ConfFile, findSharedSubnets } from './shared-subnet.ts';

const test = suite('shared subnets');

function file(name: string, plugin: object, more: object = {}): { file: string; text: string } {
  const entry = { type: 'podlink', bridge: `br-${name}`, isGateway: true, ...plugin };
  return { file: `${name}.conflist`, text: JSON.stringify({ cniVersion: '1.0.0', name, plugins: [entry], ...more }) };
}

function find(files: readonly ConfFile[]) {
  return findSharedSubnets(files.flatMap(bridgedNetworksOf));
}

function ipam(subnet: string, more: object = {}): object {
  return { ipam: { type: 'host-local', ranges: [[{ subnet, ...more }]] } };
}

test('two bridges with gateways in one subnet, equal or nested, of either type and family', () => {
  const pairs: readonly (readonly [object, object])[] = [
    [ipam('10.1.0.0/24'), ipam('10.1.0.0/24')],
    [ipam('10.1.0.0/16'), ipam('10.1.7.0/24')],
    [ipam('fd00:1::/64'), { ...ipam('fd00:1::/64'), type: 'bridge' }],
    [{ type: 'bridge', isGateway: false, isDefaultGateway: true, ...ipam('10.1.0.0/24') }, ipam('10.1.0.128/25')],
    [{ ipam: { type: 'host-local', subnet: '10.1.0.0/24' } }, ipam('10.1.0.0/24')],
  ];
  for (const [a, b] of pairs) {
    const [found, ...more] = find([file('a', a), file('b', b)]);
    assert.is(found?.file, 'b.conflist');
    assert.match(
      found ? messageOf(found.diagnosis) : '',
      /network "b" has addresses .*network "a" in a\.conflist .*by one of them only/,
    );
    assert.equal(more, []);
  }
});

test('one bridge, and ranges that meet', () => {
  const on = (name: string, rangeStart: string, rangeEnd: string) =>
    file(name, { bridge: 'br0', isGateway: false, ...ipam('10.1.0.0/24', { rangeStart, rangeEnd }) });
  const [a, b, c] = [
    on('a', '10.1.0.10', '10.1.0.99'),
    on('b', '10.1.0.99', '10.1.0.150'),
    on('c', '10.1.0.151', '10.1.0.200'),
  ];
  assert.equal(
    find([a, b, c]).map(({ diagnosis }) => messageOf(diagnosis).split(',')[0]),
    ['network "b" has addresses of 10.1.0.0/24'],
  );
});

test('what is no conflict', () => {
  const none = (...files: readonly { file: string; text: string }[]) => assert.equal(find(files), []);
  none(file('a', ipam('10.1.0.0/24')), file('b', ipam('10.1.1.0/24')));
  none(file('a', ipam('10.1.0.0/24')), file('b', { isGateway: false, ...ipam('10.1.0.0/24') }));
  none(file('a', ipam('10.1.0.0/24')), file('b', { type: 'macvlan', ...ipam('10.1.0.0/24') }));
  none(file('a', ipam('10.1.0.0/24')), file('b', { ipam: { type: 'dhcp' } }));
  none(file('a', ipam('10.1.0.0/24')), { file: 'b.conf', text: '{' }, { file: 'c.conf', text: '[]' });
  none(file('a', ipam('10.1.0.0/24')), file('b', ipam('10.1.0.0/33')));
  none(file('a', ipam('10.1.0.0/24')), file('a', ipam('10.1.0.0/24')));
});

test.run();
