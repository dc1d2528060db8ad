import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { thrown } from '../../testing/thrown.ts';
import { burstTicks, nanosecondsPerTick } from './packet-clock.ts';

const test = suite('packet clock');

test('nanosecondsPerTick() reads the file of the kernel', () => {
  assert.is(
    nanosecondsPerTick(() => '000003e8 00000040 000f4240 3b9aca00\n'),
    64,
  );
  // Before Linux 2.6.31.
  assert.is(
    nanosecondsPerTick(() => '000003e8 00000400 000f4240 3b9aca00\n'),
    1024,
  );
  assert.is(nanosecondsPerTick(), 64);
});

test('nanosecondsPerTick() refuses a file of another form', () => {
  for (const text of ['', '000003e8', 'x y', '00000000 00000040', '000003e8 00000000']) {
    assert.is(thrown(() => nanosecondsPerTick(() => text)).message, 'Cannot read the clock in /proc/net/psched', text);
  }
});

test('burstTicks() reckons as tc does, and stays within 32 bits', () => {
  // tc qdisc add … tbf rate 8mbit burst 32kb sends 0x7d000.
  assert.is(burstTicks(32_768, 1_000_000, 64), 0x7d000);
  assert.is(burstTicks(1514, 1, 64), 0xffffffff);
});

test.run();
