import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { parseDns, parseResolvConf, readResolvConf } from './dns.ts';

const test = suite('ipam dns');

test('parseResolvConf() reads the four keywords and nothing else', () => {
  const text = [
    '# a comment',
    ';another',
    'nameserver 192.0.2.1',
    '  nameserver\t192.0.2.2 # trailing words are not part of it',
    'nameserver',
    'domain first.example',
    'domain last.example',
    'search a.example b.example',
    'search c.example\r',
    'options ndots:5 edns0',
    'sortlist 130.155.160.0',
    '#nameserver 192.0.2.3',
    '',
  ].join('\n');
  assert.equal(parseResolvConf(text), {
    nameservers: ['192.0.2.1', '192.0.2.2'],
    domain: 'last.example',
    search: ['a.example', 'b.example', 'c.example'],
    options: ['ndots:5', 'edns0'],
  });
  assert.equal(parseResolvConf(''), {});
});

test('readResolvConf() reads the file, or names the key when it cannot', () => {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-dns-'));
  try {
    const path = join(directory, 'resolv.conf');
    writeFileSync(path, 'nameserver 192.0.2.1\n');
    assert.equal(readResolvConf(new Fields({ resolvConf: path })), { nameservers: ['192.0.2.1'] });
    assert.equal(readResolvConf(new Fields({ resolvConf: '' })), {});
    assert.equal(readResolvConf(new Fields({})), {});
    for (const bad of [join(directory, 'missing'), directory]) {
      assert.throws(
        () => readResolvConf(new Fields({ resolvConf: bad }, 'ipam')),
        (error: unknown) =>
          error instanceof FieldError && error.path === 'ipam.resolvConf' && /(ENOENT|EISDIR)/.test(error.message),
      );
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('parseDns() keeps what is set and refuses other types', () => {
  const parse = (dns: unknown) => parseDns(new Fields({ dns }, 'ipam'));
  assert.equal(parse({ nameservers: ['192.0.2.1'], domain: 'a.example', search: ['b'], options: ['ndots:2'] }), {
    nameservers: ['192.0.2.1'],
    domain: 'a.example',
    search: ['b'],
    options: ['ndots:2'],
  });
  assert.equal(parse({ nameservers: [], domain: '' }), {});
  assert.equal(parse(undefined), {});
  assert.throws(() => parse({ search: 'b' }), /"ipam\.dns\.search": must be a list/);
  assert.throws(() => parse({ nameservers: [1] }), /"ipam\.dns\.nameservers\[0\]": must be a string/);
  assert.throws(() => parse([]), /"ipam\.dns": must be an object/);
});

test.run();
