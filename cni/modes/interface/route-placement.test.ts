import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Route as KernelRoute } from '../../kernel/rtnetlink/route.ts';
import type { Route } from '../../protocol/result/result.ts';
import { metricOf, placeRoutes } from './route-placement.ts';

const test = suite('route placement');
const DEFAULT = '0.0.0.0/0';

/** The metrics that routes get beside those that are there: undefined is the kernel's own. */
function metricsOf(routes: Route[], present: KernelRoute[], isInternal = false): (number | undefined)[] {
  return placeRoutes(routes, present, { isInternal }).map(({ priority }) => priority);
}

test('placeRoutes() leaves routes alone that meet no other', () => {
  const routes = [{ dst: DEFAULT, gw: '10.1.0.1' }, { dst: '::/0' }, { dst: '10.9.0.0/16', priority: 7, table: 5 }];
  assert.equal(placeRoutes(routes, [], { isInternal: false }), routes);
  const others = [
    { dst: '10.8.0.0/16', priority: 7, table: 5 },
    { dst: DEFAULT, table: 255 },
    { dst: '10.9.0.0/16', table: 254 },
  ];
  assert.equal(placeRoutes(routes, others, { isInternal: false }), routes);
});

test('placeRoutes() puts a route behind those that are there, in both families', () => {
  assert.equal(metricsOf([{ dst: DEFAULT }], [{ dst: DEFAULT, table: 254 }]), [1]);
  assert.equal(metricsOf([{ dst: '::/0' }], [{ dst: '::/0', priority: 1024 }]), [1025]);
  assert.equal(metricsOf([{ dst: '::/0' }], [{ dst: '::/0', priority: 100 }]), [undefined]);
  assert.equal(metricsOf([{ dst: DEFAULT }], [{ dst: DEFAULT, priority: 600 }, { dst: DEFAULT }]), [601]);
  assert.equal(metricsOf([{ dst: '10.9.1.0/16' }], [{ dst: '10.9.0.0/16' }]), [1]);
});

test('placeRoutes() keeps a configured metric, or takes the next that is free', () => {
  const present = [100, 101, 103].map((priority) => ({ dst: '::/0', priority }));
  assert.equal(metricsOf([{ dst: '::/0', priority: 99 }], present), [99]);
  assert.equal(metricsOf([{ dst: '::/0', priority: 100 }], present), [102]);
  assert.equal(metricsOf([{ dst: '::/0', priority: 0 }], present), [0]);
});

test('placeRoutes() gives the default route of an internal network the last place', () => {
  const routes = [{ dst: DEFAULT }, { dst: '::/0' }, { dst: '10.9.0.0/16' }, { dst: '::/0', table: 9 }];
  assert.equal(metricsOf(routes, [], true), [32768, 32768, undefined, undefined]);
  assert.equal(metricsOf([{ dst: DEFAULT }], [{ dst: DEFAULT, priority: 40_000 }], true), [40_001]);
  assert.equal(metricsOf([{ dst: DEFAULT, priority: 3 }], [], true), [3]);
  assert.equal(metricsOf([{ dst: DEFAULT }], [{ dst: DEFAULT, priority: 32_768 }]), [undefined]);
});

test('placeRoutes() finds a place also where the last metric is taken', () => {
  const last = 0xffff_ffff;
  assert.equal(metricsOf([{ dst: DEFAULT, priority: last }], [{ dst: DEFAULT, priority: last }]), [last - 1]);
  assert.equal(metricsOf([{ dst: DEFAULT }], [{ dst: DEFAULT, priority: last }], true), [last - 1]);
});

test('metricOf() is what the kernel reports', () => {
  assert.is(metricOf({ dst: DEFAULT }), 0);
  assert.is(metricOf({ dst: '::/0' }), 1024);
  assert.is(metricOf({ dst: '::/0', priority: 0 }), 1024);
  assert.is(metricOf({ dst: '::/0', priority: 7 }), 7);
});

test.run();
