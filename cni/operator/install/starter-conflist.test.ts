import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from '../cli/command.ts';
import { checkConf } from '../validate/conf-check.ts';
import { CONFLIST_NAME, formatStarterConflist } from './starter-conflist.ts';

const test = suite('starter-conflist');

function mustRefuse(network: string, subnets: readonly string[], message: RegExp): void {
  assert.throws(
    () => formatStarterConflist(network, subnets),
    (error: unknown) => error instanceof UsageError && message.test(error.message),
  );
}

for (const subnets of [['10.244.3.0/24'], ['fd00:22::/64'], ['10.244.3.0/24', 'fd00:22::/64']]) {
  test(`formatStarterConflist() makes a configuration that validate has nothing to say against: ${subnets}`, () => {
    const text = formatStarterConflist('pods', subnets);
    assert.equal(checkConf(text, CONFLIST_NAME, { env: {}, kernel: undefined }), {
      network: 'pods',
      entries: 1,
      faults: [],
    });
    const { plugins } = JSON.parse(text) as { plugins: { ipam: { ranges: { subnet: string }[][] } }[] };
    assert.equal(
      plugins[0]?.ipam.ranges,
      subnets.map((subnet) => [{ subnet }]),
    );
  });
}

test('formatStarterConflist() refuses what is no subnet, and names it', () => {
  mustRefuse('pods', ['10.244.3.0'], /--subnet "10\.244\.3\.0": must be in CIDR notation/);
  mustRefuse('pods', ['10.244.3.1/24'], /--subnet "10\.244\.3\.1\/24": Network has host bits set/);
  mustRefuse('pods', ['10.244.3.0/31'], /too small/);
  mustRefuse('pods', [''], /--subnet ""/);
});

test('formatStarterConflist() refuses two subnets of one family', () => {
  mustRefuse('pods', ['10.1.0.0/16', '10.2.0.0/16'], /--subnet: one of IPv4 is enough, 2 are given/);
  mustRefuse('pods', ['fd00::/64', '10.2.0.0/16', 'fd01::/64'], /one of IPv6/);
});

test('formatStarterConflist() refuses a name that no network can have', () => {
  for (const name of ['', '../pods', 'a b', '-x']) mustRefuse(name, ['10.1.0.0/16'], /--network must be/);
});

test.run();
