import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseMountPoints } from './mount-table.ts';

const test = suite('mount table');

// As in proc(5): lines of /proc/self/mountinfo with two mounts over each other and a directory named 'a b\c'.
const MOUNTINFO = `22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
98 28 0:4 net:[4026532410] /run/netns/x rw shared:40 - nsfs nsfs rw
99 28 0:4 net:[4026532500] /run/netns/x rw shared:41 - nsfs nsfs rw
100 28 0:30 / /tmp/a\\040b\\134c rw,relatime - tmpfs tmpfs rw
`;

test('parseMountPoints() reads the mount points in order, and those that are mounted over too', () => {
  assert.equal(parseMountPoints(MOUNTINFO), ['/sys', '/run/netns/x', '/run/netns/x', '/tmp/a b\\c']);
});

test('parseMountPoints() of nothing is nothing', () => {
  assert.equal(parseMountPoints(''), []);
});

test.run();
