import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isSameSysctlValue } from './sysctl-value.ts';

const test = suite('sysctl value');

const SAME: readonly [key: string, asked: string, printed: string][] = [
  ['ipv4/ip_forward', '1', '1'],
  ['ipv4/ip_local_port_range', '20000 30001', '20000\t30001'],
  ['ipv4/ip_local_port_range', ' 20000\t 30001 ', '20000\t30001'],
  ['ipv4/tcp_rmem', '4096 0x20000 6291456', '4096\t131072\t6291456'],
  ['ipv4/conf/eth0/rp_filter', '010', '8'],
  ['ipv4/conf/eth0/rp_filter', '-1', '-1'],
  ['ipv4/conf/eth0/rp_filter', '-0x10', '-16'],
  ['ipv4/tcp_congestion_control', 'cubic', 'cubic'],
  ['ipv4/tcp_fastopen_key', '0A0B0C0D-00000000-00000000-00000001', '0a0b0c0d-00000000-00000000-00000001'],
  ['ipv6/conf/eth0/stable_secret', 'fd00::1', 'fd00:0000:0000:0000:0000:0000:0000:0001'],
  ['ipv4/ip_local_reserved_ports', '8080,8081,22', '22,8080-8081'],
  ['ipv4/ip_local_reserved_ports', '8080-8090,8085-8100', '8080-8100'],
  ['ipv4/ip_local_reserved_ports', '', ''],
];
for (const [key, asked, printed] of SAME) {
  test(`isSameSysctlValue() takes "${asked}" of ${key} for ${JSON.stringify(printed)}`, () => {
    assert.is(isSameSysctlValue(key.split('/'), asked, printed), true);
    assert.is(isSameSysctlValue(key.split('/'), printed, asked), true);
  });
}

const DIFFERENT: readonly [key: string, asked: string, printed: string][] = [
  ['ipv4/ip_forward', '1', '0'],
  ['ipv4/ip_forward', '1', ''],
  ['ipv4/ip_local_port_range', '20000 30001', '2000030001'],
  ['ipv4/ip_local_port_range', '20000 30001', '30001\t20000'],
  ['ipv4/tcp_rmem', '4096', '4096\t131072\t6291456'],
  ['ipv4/tcp_congestion_control', 'cubic', 'reno'],
  ['ipv4/conf/eth0/rp_filter', '10', '8'],
  ['ipv4/conf/eth0/rp_filter', '-1', '1'],
  ['ipv6/conf/eth0/stable_secret', 'fd00::1', 'fd00::2'],
  ['ipv4/ip_local_reserved_ports', '8080,8082', '8080-8082'],
  ['ipv4/ip_local_reserved_ports', '8080', ''],
];
for (const [key, asked, printed] of DIFFERENT) {
  test(`isSameSysctlValue() does not take "${asked}" of ${key} for ${JSON.stringify(printed)}`, () => {
    assert.is(isSameSysctlValue(key.split('/'), asked, printed), false);
  });
}

test.run();
