import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inNetns } from '../netns.ts';
import { withHostAndSandbox } from '../testing/namespaces.ts';
import { findLink } from './link/link.ts';
import { openRtnetlink } from './socket.ts';

const test = suite('rtnetlink socket');

test('openRtnetlink() opens a socket that stays with its namespace', () =>
  withHostAndSandbox((host, sandbox) => {
    sandbox.ip('link', 'add', 'only-here', 'type', 'bridge');
    const route = openRtnetlink(sandbox.netns);
    assert.is(findLink(route, 'only-here')?.name, 'only-here');
    inNetns(host.netns, () => {
      assert.is(findLink(route, 'only-here')?.name, 'only-here');
      const own = openRtnetlink();
      assert.is(findLink(own, 'only-here'), undefined);
      own.close();
    });
    route.close();
  }));

test.run();
