// A MAC address in every spelling that Go's net.ParseMAC takes, wherever one may be asked for.

import * as assert from 'uvu/assert';
import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import { addPod, checkPod } from '../harness/pod.ts';
import { getLink } from '../harness/referee.ts';

const { test, run } = cases('MAC address', { shared: true });

const PLACES: readonly (readonly [string, (mac: string) => { readonly keys: Config; readonly args?: string }])[] = [
  ['the capability', (mac) => ({ keys: { capabilities: { mac: true }, runtimeConfig: { mac } } })],
  ['args.cni', (mac) => ({ keys: { args: { cni: { mac } } } })],
  ['CNI_ARGS', (mac) => ({ keys: {}, args: `IgnoreUnknown=1;MAC=${mac}` })],
  ['the key', (mac) => ({ keys: { mac } })],
];

for (const [i, [place, at]] of PLACES.entries()) {
  const reference =
    place === 'the key'
      ? ({ absent: 'the key of the tuning plugin in the entry of bridge' } as const)
      : ('same' as const);
  test(`${place}: with colons, dashes or dots, small or capital`, reference, (host) => {
    for (const [j, text] of ['02:42:Ac:11:00:0', '02-42-AC-11-00-0', '0242.ac11.000'].entries()) {
      const { keys, args = '' } = at(`${text}${i}`);
      const pod = addPod(host, host.config({ bridge: `cni${i}${j}`, ...keys }), { args });
      assert.is(getLink(pod.namespace, 'eth0').address, `02:42:ac:11:00:0${i}`);
      assert.is(pod.result.interfaces?.[2]?.mac, `02:42:ac:11:00:0${i}`);
    }
  });

  test(`${place}: twelve digits without separators`, { absent: 'net.ParseMAC does not take them' }, (host) => {
    const { keys, args = '' } = at(`0242AC11010${i}`);
    const pod = addPod(host, host.config({ bridge: `cni${i}9`, ...keys }), { args });
    assert.is(getLink(pod.namespace, 'eth0').address, `02:42:ac:11:01:0${i}`);
    checkPod(host, pod);
  });
}

const UNUSABLE: readonly (readonly [string, RegExp])[] = [
  ['02:42:ac:ff:fe:11:00:02', /8 bytes instead of 6/],
  ['0242.acff.fe11.0002', /8 bytes instead of 6/],
  ['02-42-ac-11-00', /5 bytes instead of 6/],
  ['00-00-00-00-00-00', /no interface can have/],
  ['01-00-5e-00-00-01', /multicast/],
  ['ffff.ffff.ffff', /multicast/],
  ['02:42-ac:11:00:02', /must be a unicast MAC address/],
  ['2:42:ac:11:0:2', /must be a unicast MAC address/],
];

for (const [place, at] of PLACES) {
  test(`${place}: no MAC address of an interface`, { absent: 'the codes and words of the errors' }, (host) => {
    const rows = UNUSABLE.map(([mac, says]): BadInput => {
      const { keys, args } = at(mac);
      const code = args === undefined ? 7 : 4;
      return { what: mac, code, says, config: keys, ...(args !== undefined && { call: { args } }) };
    });
    mustRefuseEach(host, host.addContainer(), rows);
  });
}

run();
