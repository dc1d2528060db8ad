import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isErrno } from './errno.ts';
import { inNetns } from './netns.ts';
import { ensureSysctl, findSysctl, type SysctlKey, setSysctl } from './sysctl.ts';
import { type TestNamespace, withNamespace } from './testing/namespaces.ts';
import { thrown, thrownOf } from './testing/thrown.ts';

const test = suite('sysctl');

/** What cat(1) reads in the namespace. */
function refereed(ns: TestNamespace, key: SysctlKey): string {
  const path = `/proc/sys/net/${key.join('/')}`;
  return execFileSync('ip', ['netns', 'exec', ns.name, 'cat', path], { encoding: 'utf8' }).replace(/\n$/, '');
}

const FORWARD: SysctlKey = ['ipv4', 'ip_forward'];

test('setSysctl() and findSysctl() write and read the value of the namespace', () =>
  withNamespace((ns) => {
    for (const value of ['1', '0', '1']) {
      inNetns(ns.netns, () => setSysctl(FORWARD, value));
      assert.is(refereed(ns, FORWARD), value);
      assert.is(
        inNetns(ns.netns, () => findSysctl(FORWARD)),
        value,
      );
    }
  }));

test('findSysctl() reads values of several words', () =>
  withNamespace((ns) => {
    const key = ['ipv4', 'ip_local_port_range'];
    inNetns(ns.netns, () => setSysctl(key, '20000 30001'));
    assert.is(
      inNetns(ns.netns, () => findSysctl(key)),
      '20000\t30001',
    );
  }));

test('findSysctl() reads a list of ports whole, however long it is', () =>
  withNamespace((ns) => {
    const key = ['ipv4', 'ip_local_reserved_ports'];
    for (const count of [0, 700, 3000, 30000]) {
      const ports = Array.from({ length: count }, (_, i) => 1024 + 2 * i).join(',');
      inNetns(ns.netns, () => setSysctl(key, ports === '' ? '\n' : ports));
      assert.is(
        inNetns(ns.netns, () => findSysctl(key)),
        ports,
      );
    }
  }));

test('keys of links whose name has dots', () =>
  withNamespace((ns) => {
    ns.ip('link', 'add', 'eth0.100', 'type', 'bridge');
    ns.ip('link', 'add', 'all.x', 'type', 'bridge');
    const key = ['ipv4', 'conf', 'eth0.100', 'arp_notify'];
    inNetns(ns.netns, () => setSysctl(key, '1'));
    assert.is(refereed(ns, key), '1');
    assert.is(refereed(ns, ['ipv4', 'conf', 'all.x', 'arp_notify']), '0');
    assert.is(refereed(ns, ['ipv4', 'conf', 'all', 'arp_notify']), '0');
  }));

test('findSysctl() is undefined for a key that is not there', () =>
  withNamespace((ns) => {
    inNetns(ns.netns, () => {
      assert.is(findSysctl(['ipv4', 'conf', 'gone0', 'arp_notify']), undefined);
      assert.is(findSysctl(['nothing', 'such']), undefined);
    });
  }));

test('setSysctl() throws ENOENT for a key that is not there', () =>
  withNamespace((ns) => {
    inNetns(ns.netns, () => {
      assert.ok(
        isErrno(
          thrown(() => setSysctl(['ipv4', 'conf', 'gone0', 'arp_notify'], '1')),
          'ENOENT',
        ),
      );
      assert.ok(
        isErrno(
          thrown(() => setSysctl(['ipv4', 'no_such_key'], '1')),
          'ENOENT',
        ),
      );
    });
  }));

test('setSysctl() throws EINVAL for a value the kernel does not take, and changes nothing', () =>
  withNamespace((ns) => {
    inNetns(ns.netns, () => {
      assert.ok(
        isErrno(
          thrown(() => setSysctl(FORWARD, 'yes')),
          'EINVAL',
        ),
      );
      assert.is(findSysctl(FORWARD), '0');
    });
  }));

test('ensureSysctl() writes only what differs, and says what was there', () =>
  withNamespace((ns) => {
    inNetns(ns.netns, () => {
      assert.is(ensureSysctl(FORWARD, '1'), '0');
      assert.is(ensureSysctl(FORWARD, '1'), undefined);
      assert.is(findSysctl(FORWARD), '1');
      assert.is(ensureSysctl(FORWARD, '0'), '1');
    });
    assert.is(refereed(ns, FORWARD), '0');
  }));

test('ensureSysctl() does not write what is right already, so that a read-only key will do', () =>
  withNamespace((ns) => {
    inNetns(ns.netns, () => {
      // Mode 0444 in every namespace but the first one.
      const key = ['core', 'somaxconn'];
      const value = findSysctl(key);
      assert.ok(value !== undefined);
      assert.is(ensureSysctl(key, value), undefined);
    });
  }));

test('ensureSysctl() throws ENOENT for a key that is not there', () => {
  assert.ok(
    isErrno(
      thrown(() => ensureSysctl(['ipv4', 'no_such_key'], '1')),
      'ENOENT',
    ),
  );
});

for (const part of ['', '.', '..', 'a/b', '../../kernel/hostname', '/']) {
  test(`a key with the part "${part}" is refused before the file system sees it`, () => {
    for (const work of [
      findSysctl,
      (key: SysctlKey) => setSysctl(key, '1'),
      (key: SysctlKey) => ensureSysctl(key, '1'),
    ]) {
      const error = thrownOf(RangeError, () => work(['ipv4', 'conf', part, 'arp_notify']));
      assert.is(error.message, `Invalid sysctl key "ipv4/conf/${part}/arp_notify"`);
    }
  });
}

test.run();
