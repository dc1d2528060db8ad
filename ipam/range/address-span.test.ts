import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { parseExclude, subtractSpans } from './address-span.ts';

const test = suite('ipam address span');

const parse = (exclude: unknown) => parseExclude(new Fields({ exclude }, 'ipam'));

test('parseExclude() takes addresses, CIDRs and spans of both families', () => {
  for (const [text, family, start, end] of [
    ['10.1.2.7', 4, 0x0a010207n, 0x0a010207n],
    ['10.1.2.64/26', 4, 0x0a010240n, 0x0a01027fn],
    ['10.1.2.70/26', 4, 0x0a010240n, 0x0a01027fn],
    ['10.1.2.9-10.1.2.12', 4, 0x0a010209n, 0x0a01020cn],
    ['10.1.2.9 - 10.1.2.9', 4, 0x0a010209n, 0x0a010209n],
    ['::7-::a', 6, 7n, 10n],
    ['::/126', 6, 0n, 3n],
  ] as const)
    assert.equal(parse([text]), [{ family, start, end, path: 'ipam.exclude[0]', text }], text);
  assert.equal(parse(undefined), []);
  assert.equal(parse([]), []);
});

test('parseExclude() names the item that is none', () => {
  for (const [value, pattern] of [
    ['', /must be an address, a CIDR, or two addresses with "-" between them, is ""/],
    [7, /is 7/],
    [null, /is null/],
    ['10.1.2.0/33', /must be an address/],
    ['10.1.2.1-', /must be an address/],
    ['10.1.2.1-10.1.2.9/24', /must be an address/],
    ['10.1.2.1-10.1.2.9-10.1.2.12', /must be an address/],
    ['10.1.2.9-10.1.2.1', /"10\.1\.2\.9-10\.1\.2\.1" ends before it starts/],
    ['10.1.2.9-::a', /mixes address families/],
  ] as const)
    assert.throws(
      () => parse(['10.1.2.3', value]),
      (error: unknown) =>
        error instanceof FieldError && error.path === 'ipam.exclude[1]' && pattern.test(error.message),
      String(value),
    );
  assert.throws(
    () => parse('10.1.2.3'),
    (error: unknown) => error instanceof FieldError && error.path === 'ipam.exclude',
  );
});

test('subtractSpans() leaves what no other span has, in order', () => {
  const span = (start: number, end: number) => ({ start: BigInt(start), end: BigInt(end) });
  for (const [others, expected] of [
    [[], [span(10, 20)]],
    [[span(0, 9), span(21, 30)], [span(10, 20)]],
    [[span(12, 14)], [span(10, 11), span(15, 20)]],
    [[span(18, 40), span(0, 10)], [span(11, 17)]],
    [
      [span(12, 16), span(13, 14), span(16, 17)],
      [span(10, 11), span(18, 20)],
    ],
    [[span(10, 10), span(20, 20)], [span(11, 19)]],
    [[span(0, 50)], []],
  ] as const)
    assert.equal(subtractSpans(span(10, 20), others), expected);
});

test.run();
