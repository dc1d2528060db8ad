// Keys and results that tell less than a part of podlink would need, or more: an `ipam` section beside a mode without an
// interface, a prevResult without the container's interface.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { addPod } from '../harness/pod.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('more or less than is needed');
const OURS: Reference = { absent: 'modes and internal networks' };

test('mode "none" asks no IPAM plugin, also not at DEL, where the plugin is not installed', OURS, (host) => {
  const config = host.config({ mode: 'none', ipam: { type: 'dhcp' } });
  const container = host.addContainer();
  const before = host.snapshot();
  mustAdd(host, { config, container });
  mustPass(host, 'DEL', { config, container });
  mustBeEmpty(
    host.leftSince(before).filter((line) => !/ (link|address|route) .*\blo\b/.test(line)),
    'left behind',
  );
});

test('CHECK of an internal network whose prevResult has no interface of the container names that', OURS, (host) => {
  const pod = addPod(host, host.config({ cniVersion: '1.0.0', internal: true, macspoofchk: true }));
  const interfaces = (pod.result.interfaces ?? []).filter(({ sandbox }) => !sandbox);
  const ips = (pod.result.ips ?? []).map(({ interface: _, ...ip }) => ip);
  const told = { ...pod.result, interfaces, ips };
  for (const result of [told, { ...told, interfaces: [] }]) {
    const config = withPrevResult(pod.config, result);
    const { msg } = mustRefuse(host, 'CHECK', { ...pod.invocation, config }, 101, /prevResult has no interface "eth0"/);
    assert.not.match(msg, /Internal error/);
  }
});

run();
