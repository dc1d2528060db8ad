import { closeSync, openSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findMountOf, parseMounts } from './mount-table.ts';

const test = suite('mount table');

// As in proc(5): lines of /proc/self/mountinfo with two mounts over each other and a directory named 'a b\c'.
const MOUNTINFO = `22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
98 28 0:4 net:[4026532410] /run/netns/x rw shared:40 - nsfs nsfs rw
99 98 0:4 net:[4026532500] /run/netns/x rw shared:41 - nsfs nsfs rw
100 28 0:30 / /tmp/a\\040b\\134c rw,relatime - tmpfs tmpfs rw
`;

test('parseMounts() reads the mounts in order, and those that are mounted over too', () => {
  assert.equal(parseMounts(MOUNTINFO), [
    { id: 22, parentId: 27, mountPoint: '/sys' },
    { id: 98, parentId: 28, mountPoint: '/run/netns/x' },
    { id: 99, parentId: 98, mountPoint: '/run/netns/x' },
    { id: 100, parentId: 28, mountPoint: '/tmp/a b\\c' },
  ]);
});

test('parseMounts() of nothing is nothing', () => {
  assert.equal(parseMounts(''), []);
});

test('findMountOf() finds the mount of a file in /proc, and none for a namespace that is not mounted', () => {
  for (const [path, mountPoint] of [
    ['/proc/self/status', '/proc'],
    ['/proc/self/ns/net', undefined],
  ] as const) {
    const fd = openSync(path, 'r');
    try {
      assert.is(findMountOf(fd)?.mountPoint, mountPoint);
    } finally {
      closeSync(fd);
    }
  }
});

test.run();
