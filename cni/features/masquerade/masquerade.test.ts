import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../protocol/fields.ts';
import { parseMasquerade } from './masquerade.ts';

const test = suite('masquerade');

function parse(config: object): { isWanted: boolean; warnings: string[] } {
  const warnings: string[] = [];
  return { isWanted: parseMasquerade(new Fields(config), (message) => warnings.push(message)).ipMasq, warnings };
}

test('parseMasquerade() is off unless the configuration asks for it', () => {
  assert.equal(parse({}), { isWanted: false, warnings: [] });
  assert.equal(parse({ ipMasq: false, ipMasqBackend: 'iptables' }), { isWanted: false, warnings: [] });
  assert.equal(parse({ ipMasq: true, ipMasqBackend: 'nftables' }), { isWanted: true, warnings: [] });
});

test('parseMasquerade() says that it does not use iptables', () => {
  const { isWanted, warnings } = parse({ ipMasq: true, ipMasqBackend: 'iptables' });
  assert.ok(isWanted);
  assert.equal(warnings, ['"ipMasqBackend" is "iptables", but masquerading is done with nftables']);
});

test('parseMasquerade() names a key with a wrong value', () => {
  assert.throws(() => parse({ ipMasq: 'yes' }), /Invalid "ipMasq": must be true or false/);
  assert.throws(() => parse({ ipMasq: true, ipMasqBackend: 'pf' }), /Invalid "ipMasqBackend": must be one of/);
});

test.run();
