import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { NETLINK_ROUTE, openTransport, type Transport } from '../../netlink/transport.ts';
import { inNetns } from '../../netns.ts';
import { startModule } from '../../testing/child-process.ts';
import { withHostAndSandbox } from '../../testing/namespaces.ts';
import { listLinks } from './link.ts';
import { addVethPair } from './veth.ts';

const test = suite('dump of links in the kernel');

const PERMANENT = 300;

/** A source of changes: adds and deletes veth pairs until it is killed. */
const churn = (path: string, farPath: string) => `
  import { openNetns } from ${JSON.stringify(import.meta.resolve('../../netns.ts'))};
  import { sleep } from ${JSON.stringify(import.meta.resolve('../../syscalls.ts'))};
  import { deleteLink } from ${JSON.stringify(import.meta.resolve('./link.ts'))};
  import { openRtnetlink } from ${JSON.stringify(import.meta.resolve('../socket.ts'))};
  import { addVethPair } from ${JSON.stringify(import.meta.resolve('./veth.ts'))};
  const near = openNetns(${JSON.stringify(path)});
  const far = openNetns(${JSON.stringify(farPath)});
  const route = openRtnetlink(near);
  console.log('ready');
  for (let i = 0; ; i++) {
    addVethPair(route, { name: 'churn' + i }, { name: 'eth' + i }, far.fd);
    sleep(2);
    deleteLink(route, 'churn' + i);
  }
`;

test('listLinks() lists every link that stays, exactly once, while others come and go', () =>
  withHostAndSandbox(async (host, sandbox) => {
    const expected = Array.from({ length: PERMANENT }, (_, i) => `permanent${i}`).sort();
    for (const [i, name] of expected.entries()) {
      addVethPair(host.route, { name }, { name: `far${i}` }, sandbox.netns.fd);
    }
    let dumps = 0;
    const real = inNetns(host.netns, () => openTransport(NETLINK_ROUTE));
    const counting: Transport = {
      send(datagram) {
        dumps++;
        real.send(datagram);
      },
      receive: () => real.receive(),
      close: () => real.close(),
    };
    const route = new NetlinkConnection(counting);
    const child = startModule(churn(host.path, sandbox.path));
    try {
      await child.line('ready');
      let lists = 0;
      let changing = 0;
      // At least fifty, and on until one of them had to be repeated: else nothing has been tested.
      const deadline = performance.now() + 20_000;
      while (lists < 50 || (dumps === lists && performance.now() < deadline)) {
        const names = listLinks(route).map(({ name }) => name);
        lists++;
        changing += names.filter((name) => name.startsWith('churn')).length;
        assert.equal(names.filter((name) => name.startsWith('permanent')).sort(), expected);
        assert.is(new Set(names).size, names.length, 'no link twice');
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.is(child.process.exitCode, null, 'the links were changing all the time');
      assert.ok(changing > 0, 'changes were seen');
      assert.ok(dumps > lists, `none of ${lists} dumps was interrupted`);
    } finally {
      child.process.kill('SIGKILL');
      await child.ended();
      route.close();
    }
  }));

test.run();
