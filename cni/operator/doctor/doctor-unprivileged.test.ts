import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ContainerdConfig } from '../install/containerd-config.ts';
import { findingsOfUnprivileged } from './doctor-unprivileged.ts';

const test = suite('doctor-unprivileged');

function config(changes: Partial<ContainerdConfig> = {}): ContainerdConfig {
  return {
    files: ['/etc/containerd/config.toml'],
    version: 3,
    binDirs: undefined,
    confDir: undefined,
    maxConfNum: undefined,
    useInternalLoopback: undefined,
    enableUnprivilegedPorts: undefined,
    enableUnprivilegedIcmp: undefined,
    ...changes,
  };
}

const OFF = { enableUnprivilegedPorts: false, enableUnprivilegedIcmp: false };

/** Level and text of the only finding; undefined without one. */
function found(of: ContainerdConfig | undefined, major?: number): string | undefined {
  const [finding, ...more] = findingsOfUnprivileged(of, major, ['hosts', 'pods']);
  assert.equal(more, []);
  return finding && `${finding.level} ${finding.what}; ${finding.remedy?.sentence ?? ''}`;
}

test('findingsOfUnprivileged() knows the defaults of each containerd', () => {
  for (const [of, major, expected] of [
    [config(), undefined, /^fail .*ip_unprivileged_port_start and net\.ipv4\.ping_group_range in every pod/],
    [config({ version: 2 }), 2, /^fail /],
    [undefined, 2, /^fail .*of \/etc\/containerd\/config\.toml/],
    [config({ version: 2 }), undefined, /^ok /],
    [config({ version: 2 }), 1, /^ok /],
    [undefined, 1, /^ok /],
    [config(OFF), 2, /^ok /],
    [config(OFF), undefined, /^ok /],
  ] as const) {
    assert.match(found(of, major) ?? '', expected);
  }
  assert.is(found(undefined), undefined, 'no containerd to be seen');
});

test('findingsOfUnprivileged() names only what is on, and the networks it matters to', () => {
  const half = config({ version: 2, enableUnprivilegedIcmp: true, enableUnprivilegedPorts: false });
  assert.match(
    found(half) ?? '',
    /^fail containerd sets net\.ipv4\.ping_group_range in every pod \(enable_unprivileged_icmp\); write enable_unprivileged_icmp = false into/,
  );
  const [finding] = findingsOfUnprivileged(config(), 2, ['hosts', 'pods']);
  assert.match(
    finding?.meaning ?? '',
    /^network "hosts", "pods" puts pods into the network of the host: runc .* crun sets/,
  );
});

test.run();
