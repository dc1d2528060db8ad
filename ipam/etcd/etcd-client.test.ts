// The transport against HTTP servers on loopback that behave well and badly; what is sent, byte for byte.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  connectGateway,
  EtcdClient,
  EtcdRefusedError,
  type EtcdTransport,
  EtcdUnreachableError,
} from './etcd-client.ts';
import { FakeEtcd } from './etcd-fake-gateway.ts';

const test = suite('ipam etcd-client');

type Respond = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** Run with a server for each of these, and the endpoints they listen at. */
async function withServers(responds: readonly Respond[], work: (endpoints: string[]) => Promise<void>): Promise<void> {
  const servers = responds.map((respond) =>
    createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => respond(request, response, body));
    }),
  );
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))));
  try {
    await work(servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  } finally {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

const connect = (endpoints: string[], timeoutMs = 2000) => connectGateway({ endpoints, timeoutMs, tls: {} });
const answer =
  (status: number, value: unknown): Respond =>
  (_, response) => {
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(typeof value === 'string' ? value : JSON.stringify(value));
  };

async function rejected(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was thrown');
}

test('connectGateway() posts JSON and returns the JSON of the answer', async () => {
  const seen: unknown[] = [];
  await withServers(
    [
      (request, response, body) => {
        seen.push([request.method, request.url, request.headers['content-type'], JSON.parse(body)]);
        answer(200, { succeeded: true })(request, response, body);
      },
    ],
    async (endpoints) => {
      const send = connect(endpoints);
      assert.equal(await send('/v3/kv/txn', { a: 'ä' }), { succeeded: true });
    },
  );
  assert.equal(seen, [['POST', '/v3/kv/txn', 'application/json', { a: 'ä' }]]);
});

test('connectGateway() tries the endpoints in turn, and one that failed last', async () => {
  const asked: number[] = [];
  const counting =
    (i: number, respond: Respond): Respond =>
    (...args) => {
      asked.push(i);
      respond(...args);
    };
  await withServers(
    [
      counting(0, answer(503, { error: 'etcdserver: no leader', message: 'etcdserver: no leader', code: 14 })),
      counting(1, (_, response) => void response.destroy()),
      counting(2, answer(200, '<html>')),
      counting(3, answer(200, {})),
    ],
    async (endpoints) => {
      const send = connect(['http://127.0.0.1:1', ...endpoints]);
      assert.equal(await send('/v3/kv/range', {}), {});
      assert.equal(asked, [0, 1, 2, 3]);
      await send('/v3/kv/range', {});
      assert.equal(asked, [0, 1, 2, 3, 3]);
    },
  );
});

test('connectGateway() that reaches nobody says what each endpoint said', async () => {
  await withServers(
    [
      answer(503, { error: 'etcdserver: no leader', code: 14 }),
      () => undefined,
      (_, response) => void response.writeHead(200).write('{'),
    ],
    async (endpoints) => {
      const started = performance.now();
      const error = await rejected(connect(['http://127.0.0.1:1', ...endpoints], 200)('/v3/kv/range', {}));
      assert.instance(error, EtcdUnreachableError);
      assert.match(error.message, /127\.0\.0\.1:1: .*ECONNREFUSED.*; .*no leader; .*no answer for 200 ms; /);
      assert.is(error.message.split('; ').length, 4);
      assert.ok(performance.now() - started < 2000);
    },
  );
});

test('connectGateway() takes a refusal for an answer and asks nobody else', async () => {
  let asked = 0;
  await withServers(
    [
      answer(400, { error: 'etcdserver: permission denied', message: 'etcdserver: permission denied', code: 7 }),
      () => {
        asked++;
      },
    ],
    async (endpoints) => {
      const error = await rejected(connect(endpoints)('/v3/kv/range', {}));
      assert.instance(error, EtcdRefusedError);
      assert.is((error as EtcdRefusedError).code, 7);
      assert.is(error.message, 'etcdserver: permission denied');
      assert.is(asked, 0);
    },
  );
});

test('connectGateway() finds the error inside of a stream', async () => {
  await withServers(
    [answer(200, { error: { grpc_code: 7, http_code: 403, message: 'no', http_status: 'Forbidden' } })],
    async (endpoints) => {
      const error = await rejected(connect(endpoints)('/v3/lease/keepalive', { ID: '7' }));
      assert.instance(error, EtcdRefusedError);
      assert.is((error as EtcdRefusedError).code, 7);
    },
  );
});

test('connectGateway() with a limit reads from all at once, and writes to the one that answered', async () => {
  const written: number[] = [];
  const noting =
    (i: number, respond: Respond): Respond =>
    (request, response, body) => {
      if (request.url === '/v3/kv/txn') written.push(i);
      respond(request, response, body);
    };
  const silent: Respond = () => undefined;
  await withServers(
    [silent, answer(503, { code: 14 }), answer(200, { a: 1 }), silent].map((each, i) => noting(i, each)),
    async (endpoints) => {
      // One after the other, the first would use up the minute.
      const send = connectGateway({ endpoints, timeoutMs: 60_000, limitMs: 60_000, tls: {} });
      const started = performance.now();
      assert.equal(await send('/v3/kv/range', {}), { a: 1 });
      assert.equal(await send('/v3/kv/txn', {}), { a: 1 });
      assert.ok(performance.now() - started < 30_000);
    },
  );
  assert.equal(written, [2]);
});

test('connectGateway() with a limit says what each endpoint said, and has no time left for more', async () => {
  const silent: Respond = () => undefined;
  await withServers([silent, silent], async (endpoints) => {
    const send = connectGateway({ endpoints, timeoutMs: 60_000, limitMs: 100, tls: {} });
    const error = await rejected(send('/v3/kv/range', {}));
    assert.instance(error, EtcdUnreachableError);
    assert.match(error.message, /no answer for \d+ ms; .*no answer for \d+ ms/);
    assert.match((await rejected(send('/v3/kv/txn', {}))).message, /no time left/);
    assert.match((await rejected(send('/v3/kv/range', {}))).message, /no time left/);
  });
});

test('connectGateway() with a limit takes a refusal for an answer where nobody gives a better one', async () => {
  await withServers([answer(403, { code: 7, message: 'denied' }), answer(503, { code: 14 })], async (endpoints) => {
    const error = await rejected(
      connectGateway({ endpoints, timeoutMs: 60_000, limitMs: 60_000, tls: {} })('/v3/kv/range', {}),
    );
    assert.instance(error, EtcdRefusedError);
  });
});

test('list() reads page after page', async () => {
  const etcd = new FakeEtcd();
  for (let i = 0; i < 2500; i++) etcd.put(`/p/${i}`, `value ${i}`);
  etcd.put('/p', 'no');
  etcd.put('/p0', 'no');
  const entries = await new EtcdClient(etcd.transport).list('/p/');
  assert.is(new Set(entries.map(({ key }) => key)).size, 2500);
  assert.ok(entries.every(({ key, value }) => key.startsWith('/p/') && value === `value ${key.slice(3)}`));
  assert.is(etcd.requests.length, 3);
});

test('commit() sends comparisons, writes and the alternative as the gateway has them', async () => {
  const sent: [string, object][] = [];
  const send: EtcdTransport = async (path, body) => {
    sent.push([path, body]);
    return { responses: [{ response_range: { kvs: [{ key: 'L2E=', value: 'Yg==', mod_revision: '7' }] } }] };
  };
  const result = await new EtcdClient(send).commit({
    compare: [{ absent: '/a' }, { absent: '/a', rangeEnd: '/b' }, { key: '/a', modRevision: '9007199254740993' }],
    write: [{ put: '/a', value: 'b', lease: '5' }, { put: '/a', value: 'b' }, { delete: '/a' }],
    otherwiseGet: '/a',
  });
  assert.equal(result, { succeeded: false, found: { key: '/a', value: 'b', modRevision: '7' } });
  assert.equal(sent, [
    [
      '/v3/kv/txn',
      {
        compare: [
          { target: 'CREATE', result: 'EQUAL', key: 'L2E=', create_revision: '0' },
          { target: 'CREATE', result: 'EQUAL', key: 'L2E=', create_revision: '0', range_end: 'L2I=' },
          { target: 'MOD', result: 'EQUAL', key: 'L2E=', mod_revision: '9007199254740993' },
        ],
        success: [
          { request_put: { key: 'L2E=', value: 'Yg==', lease: '5' } },
          { request_put: { key: 'L2E=', value: 'Yg==' } },
          { request_delete_range: { key: 'L2E=' } },
        ],
        failure: [{ request_range: { key: 'L2E=' } }],
      },
    ],
  ]);
});

test('keepAlive() is false for a lease that ended, grantLease() takes one that is there', async () => {
  const etcd = new FakeEtcd();
  const client = new EtcdClient(etcd.transport);
  assert.is(await client.keepAlive('7'), false);
  await client.grantLease('7', 60);
  await client.grantLease('7', 60);
  assert.is(await client.keepAlive('7'), true);
  etcd.refusal = new EtcdRefusedError(7, 'permission denied');
  assert.instance(await rejected(client.grantLease('7', 60)), EtcdRefusedError);
});

test.run();
