// Names that no interface can have, though they are spelled as a name may be: for the container's interface error 4, for
// the bridge error 7, and both before anything has changed.

import * as assert from 'uvu/assert';
import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { findLink } from '../harness/referee.ts';
import { mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('names no interface can have', { shared: true });
const OURS = { absent: 'the code of the error: the kernel refuses the name when the bridge has been made' } as const;

const NAMES: readonly (readonly [string, RegExp])[] = [
  ['all', /"all" is reserved: the sysctls of all interfaces/],
  ['default', /"default" is reserved: the sysctls of interfaces to come/],
  ['bonding_masters', /"bonding_masters" is reserved: the bonding driver/],
  ['lo', /"lo" is the loopback interface/],
  ['à', /"à" contains a character that the kernel takes for white space/],
  ['eth\u{1d4a0}', /the kernel takes for white space/],
  ['a\u0001', /"a\\u0001" contains a control character/],
];

test('CNI_IFNAME', OURS, (host) => {
  const container = host.addContainer();
  mustRefuseEach(host, container, [
    ...NAMES.map(([ifname, says]): BadInput => ({ what: ifname, code: 4, says, call: { ifname } })),
    ...['eth%d', '%'].map((ifname): BadInput => ({ what: ifname, code: 4, says: /contains "%"/, call: { ifname } })),
  ]);
  mustRefuse(host, 'CHECK', { config: host.config(), container, ifname: 'all' }, 4, /"all" is reserved/);
});

test('DEL of an interface that no ADD can have made has nothing to do', 'same', (host) => {
  const container = host.addContainer();
  for (const ifname of ['all', 'default', 'bonding_masters', 'à'])
    mustPass(host, 'DEL', { config: host.config(), container, ifname });
});

test('the key "bridge"', OURS, (host) => {
  const rows = NAMES.map(
    ([bridge, says]): BadInput => ({
      what: bridge,
      code: 7,
      says: new RegExp(`"bridge".*${says.source}`),
      config: { bridge },
    }),
  );
  mustRefuseEach(host, host.addContainer(), rows);
});

test('names that only look like these are taken', 'same', (host) => {
  for (const [i, ifname] of ['all0', 'Default', 'lo0', 'é', 'eth0.all', '-x', 'ALL'].entries()) {
    const pod = addPod(host, host.config({ bridge: `default${i}` }), { ifname });
    assert.ok(findLink(pod.namespace, ifname), ifname);
    checkPod(host, pod);
    delPod(host, pod);
  }
});

run();
