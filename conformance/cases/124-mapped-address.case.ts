// IPv4 in IPv6's spelling (::ffff:10.1.2.3): refused under every key that takes an address or a network, with the spelling
// that is meant. Go would make IPv4 of it and the kernel IPv6, whose packets nobody answers.

import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';

const { test, run } = cases('IPv4 in the spelling of IPv6', { shared: true });
const OURS = { absent: 'the refusal: it makes IPv4 of some, IPv6 of others, and fails late with the rest' } as const;
const NET = '::ffff:10.88.1.0/120';
const ADDRESS = '::FFFF:a58:105';

/** A row that is refused at `path`, with the address that is meant. */
const row = (path: string, config: Config, meant: string): BadInput => ({
  what: path,
  code: 7,
  says: new RegExp(`"${path.replace(/[[\].]/g, '\\$&')}".*IPv4 in IPv6's spelling: write ${meant}`),
  config,
});

function hostLocal(host: Host, keys: object): Config {
  return { ipam: { type: 'host-local', dataDir: host.dataDir, ranges: [[{ subnet: '10.77.0.0/24' }]], ...keys } };
}

const inRange = (host: Host, keys: object) => hostLocal(host, { ranges: [[{ subnet: '10.77.0.0/24', ...keys }]] });

test('host-local and its requests', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), [
    row('ipam.ranges[0][0].subnet', inRange(host, { subnet: NET }), '10.88.1.0/24'),
    row('ipam.subnet', hostLocal(host, { ranges: undefined, subnet: NET }), '10.88.1.0/24'),
    row('ipam.ranges[0][0].rangeStart', inRange(host, { rangeStart: ADDRESS }), '10.88.1.5'),
    row('ipam.ranges[0][0].rangeEnd', inRange(host, { rangeEnd: ADDRESS }), '10.88.1.5'),
    row('ipam.ranges[0][0].gateway', inRange(host, { gateway: ADDRESS }), '10.88.1.5'),
    row('ipam.ranges[0][0].exclude[0]', inRange(host, { exclude: [ADDRESS] }), '10.88.1.5'),
    row('ipam.ranges[0][0].exclude[0]', inRange(host, { exclude: [`10.77.0.9-${ADDRESS}`] }), '10.88.1.5'),
    row('ipam.ranges[0][0].exclude[0]', inRange(host, { exclude: [NET] }), '10.88.1.0/24'),
    row('ipam.routes[0].dst', hostLocal(host, { routes: [{ dst: NET }] }), '10.88.1.0/24'),
    row('ipam.routes[0].gw', hostLocal(host, { routes: [{ dst: '10.9.0.0/16', gw: ADDRESS }] }), '10.88.1.5'),
    row('runtimeConfig.ips[0]', { runtimeConfig: { ips: [ADDRESS] } }, '10.88.1.5'),
    row('args.cni.ips[0]', { args: { cni: { ips: [`${ADDRESS}/120`] } } }, '10.88.1.5/24'),
    row('runtimeConfig.ipRanges[0][0].subnet', { runtimeConfig: { ipRanges: [[{ subnet: NET }]] } }, '10.88.1.0/24'),
    {
      ...row('IP', {}, '10.88.1.5'),
      code: 4,
      call: { args: `IP=${ADDRESS}` },
    },
  ]);
});

test('static and its requests', OURS, (host) => {
  const ipam = (keys: object): Config => ({
    ipam: { type: 'static', addresses: [{ address: '10.77.0.5/24' }], ...keys },
  });
  mustRefuseEach(host, host.addContainer(), [
    row('ipam.addresses[0].address', ipam({ addresses: [{ address: NET }] }), '10.88.1.0/24'),
    row('ipam.addresses[0].gateway', ipam({ addresses: [{ address: '10.77.0.5/24', gateway: ADDRESS }] }), '10.88.1.5'),
    row('ipam.routes[0].dst', ipam({ routes: [{ dst: NET }] }), '10.88.1.0/24'),
    row('ipam.dns.nameservers[0]', ipam({ dns: { nameservers: [ADDRESS] } }), '10.88.1.5'),
    row('runtimeConfig.ips[0]', { ...ipam({}), runtimeConfig: { ips: [NET] } }, '10.88.1.0/24'),
    row('args.cni.ips[0]', { ...ipam({}), args: { cni: { ips: [NET] } } }, '10.88.1.0/24'),
    { ...row('IP', ipam({}), '10.88.1.0/24'), code: 4, call: { args: `IP=${NET}` } },
    { ...row('GATEWAY', ipam({}), '10.88.1.5'), code: 4, call: { args: `GATEWAY=${ADDRESS}` } },
  ]);
});

test('etcd', OURS, (host) => {
  const etcd = { type: 'podlink-etcd', dataDir: host.dataDir, ranges: [[{ subnet: '10.77.0.0/24' }]] };
  const ipam = { ...etcd, endpoints: ['http://127.0.0.1:1', 'http://[::ffff:10.0.0.1]:2379'] };
  mustRefuseEach(host, host.addContainer(), [row('ipam.endpoints[1]', { ipam }, '10.0.0.1')]);
});

test('the features and dns', OURS, (host) => {
  const port = { hostPort: 80, containerPort: 80 };
  mustRefuseEach(host, host.addContainer(), [
    row(
      'runtimeConfig.portMappings[1].hostIP',
      {
        runtimeConfig: {
          portMappings: [
            { ...port, hostPort: 81 },
            { ...port, hostIP: ADDRESS },
          ],
        },
      },
      '10.88.1.5',
    ),
    row('hostBindingIPv4', { hostBindingIPv4: ADDRESS, runtimeConfig: { portMappings: [port] } }, '10.88.1.5'),
    row('ipMasqExclude[0]', { ipMasq: true, ipMasqExclude: [NET] }, '10.88.1.0/24'),
    row('shapedSubnets[0]', { ingressRate: 1e6, shapedSubnets: [NET] }, '10.88.1.0/24'),
    row('unshapedSubnets[1]', { ingressRate: 1e6, unshapedSubnets: ['10.0.0.0/8', NET] }, '10.88.1.0/24'),
    row('dns.nameservers[1]', { dns: { nameservers: ['10.0.0.53', ADDRESS] } }, '10.88.1.5'),
    row('runtimeConfig.dns.servers[0]', { runtimeConfig: { dns: { servers: [ADDRESS] } } }, '10.88.1.5'),
  ]);
});

test('the result of a plugin before', OURS, (host) => {
  const prevResult = { cniVersion: '1.0.0', interfaces: [], ips: [{ address: NET }] };
  mustRefuseEach(host, host.addContainer(), [row('prevResult.ips[0].address', { prevResult }, '10.88.1.0/24')]);
});

run();
